"""Triton's Python module exists only inside Triton: here a stand-in lets the endpoint model be imported."""

import sys
from types import ModuleType

sys.modules.setdefault("triton_python_backend_utils", ModuleType("triton_python_backend_utils"))
