"""Services that embed a replica, each a package of its own."""
