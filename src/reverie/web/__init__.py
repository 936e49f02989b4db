"""Every URL that the server opens on a user's word."""
