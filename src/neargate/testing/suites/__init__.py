"""One suite per seam: every implementation, real or fake, passes the same functions."""
