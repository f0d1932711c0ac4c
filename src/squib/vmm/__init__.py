"""Virtual machine monitors behind two Protocols (`base`). The monitors do not know each other."""
