"""The public test kit: real and fake servers, clocks and suites for tests of rayfleet and of its plugins."""
