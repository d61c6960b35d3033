"""The APIs of other companies over Parley's turns: a folder each, with a reader of requests and encoders of events."""
