"""The splunk log driver: lines of containers go to an HTTP Event Collector, from inside their task's network."""
