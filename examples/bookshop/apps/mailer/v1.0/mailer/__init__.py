"""The shop's messages: a queue endpoint and a worker."""

VERSION = "1.0"
