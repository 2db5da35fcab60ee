"""Kinds that CustomResourceDefinitions bring: their schemas, rules, tables and the definitions themselves."""
