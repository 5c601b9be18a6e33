"""Guards inside training frameworks, each a module that imports its framework when it is imported.

``gradcore.integrations.lightning``, ``.transformers`` and ``.accelerate``; what they log is in
`gradcore.integrations.values`.
"""
