/* A static program without a C library, as the ones that Go makes: it saves DIR/data.bin by raw system calls, and does
 * it right. x86-64 Linux only.
 *
 *   cc -std=gnu11 -O1 -nostdlib -static -ffreestanding -fno-stack-protector -fno-pie -no-pie -o static_raw static_raw.c
 *   static_raw DIR SIZE_BYTES SEED          exit status 0: saved; 1: failed; 2: wrong call
 */
#include <asm/unistd_64.h>
#include <stdint.h>

#define AT_FDCWD (-100L)
#define O_RDONLY 0L
#define O_WRONLY 1L
#define O_CREAT 0100L
#define O_TRUNC 01000L
#define O_DIRECTORY 0200000L
#define O_CLOEXEC 02000000L
#define ENOENT 2L
#define PATH_ROOM 4096
#define SIZE_BYTES_MAX (1 << 20)

static unsigned char data[SIZE_BYTES_MAX];
static char final[PATH_ROOM], temp[PATH_ROOM];

static long call(long number, long a, long b, long c, long d)
{
    long result;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static _Noreturn void leave(long status)
{
    for (;;) call(__NR_exit_group, status, 0, 0, 0);
}

static _Noreturn void fail(long fd)
{
    static const char said[] = "failed\n";
    if (fd >= 0) call(__NR_close, fd, 0, 0, 0);
    call(__NR_unlinkat, AT_FDCWD, (long)temp, 0, 0);
    call(__NR_write, 2, (long)said, sizeof said - 1, 0);
    leave(1);
}

/* -1: no number, or too large. */
static long parse(const char *text, uint64_t *value)
{
    *value = 0;
    if (*text == '\0') return -1;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || *value > (UINT64_MAX - 9) / 10) return -1;
        *value = *value * 10 + (uint64_t)(*text - '0');
    }
    return 0;
}

static long join(char *to, const char *dir, const char *name)
{
    long length = 0;
    for (const char *part = dir; *part != '\0'; part++) {
        if (length >= PATH_ROOM - 32) return -1;
        to[length++] = *part;
    }
    for (; *name != '\0'; name++) to[length++] = *name;
    to[length] = '\0';
    return 0;
}

__attribute__((used)) static _Noreturn void run(long *stack)
{
    long argc = stack[0];
    char **argv = (char **)(stack + 1);
    uint64_t size_bytes, seed;
    if (argc != 4 || parse(argv[2], &size_bytes) != 0 || size_bytes == 0 || size_bytes > SIZE_BYTES_MAX
        || parse(argv[3], &seed) != 0 || join(final, argv[1], "/data.bin") != 0
        || join(temp, argv[1], "/data.bin.tmp") != 0) {
        leave(2);
    }
    for (uint64_t i = 0; i < size_bytes; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        data[i] = (unsigned char)(seed >> 56);
    }
    long fd = call(__NR_openat, AT_FDCWD, (long)temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) leave(1);
    for (uint64_t at = 0; at < size_bytes;) {
        long count = call(__NR_write, fd, (long)(data + at), (long)(size_bytes - at), 0);
        if (count <= 0) fail(fd);
        at += (uint64_t)count;
    }
    if (call(__NR_fsync, fd, 0, 0, 0) < 0) fail(fd);
    if (call(__NR_close, fd, 0, 0, 0) < 0) fail(-1);
    if (call(__NR_renameat, AT_FDCWD, (long)temp, AT_FDCWD, (long)final) < 0) fail(-1);
    long dir = call(__NR_openat, AT_FDCWD, (long)argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (dir < 0 || call(__NR_fsync, dir, 0, 0, 0) < 0 || call(__NR_close, dir, 0, 0, 0) < 0) leave(1);
    leave(0);
}

__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call run\n");
