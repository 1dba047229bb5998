"""The shop's catalogue: a JSON API over SQLite."""

VERSION = "1.1"
