"""Questions about models and programs: plain dataclasses out, nothing printed."""
