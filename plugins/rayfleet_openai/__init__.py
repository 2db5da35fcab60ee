"""Any server that speaks OpenAI's API, started by the command that the manifest gives."""
