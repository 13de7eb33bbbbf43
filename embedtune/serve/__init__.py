"""Serving: releases, the release store, Triton, the gateway, and the entry points of the containers."""
