"""What the server knows about each kind: fields, rules, tables; built-in and custom. Pure."""
