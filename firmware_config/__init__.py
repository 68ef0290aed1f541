"""Device profiles, boot and service files of an instrument."""
