"""Lantern & Quill: the bookshop's website."""

VERSION = "1.0"
