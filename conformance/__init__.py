"""Checks any Open Service Broker from outside, as a platform sees it."""
