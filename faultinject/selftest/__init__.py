"""Programs with a known mistake, and right ones: an audit must find exactly the mistakes, or it proves nothing."""
