"""Makes one person's workspace out of /run/berth."""
