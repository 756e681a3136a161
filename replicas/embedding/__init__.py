"""What every service that embeds a replica has: a configuration, a life, and who asks it."""
