"""What is on offer, and the plugins that make it real."""
