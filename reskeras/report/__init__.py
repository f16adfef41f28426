"""What people look at: drawings of networks, and the report of a run."""
