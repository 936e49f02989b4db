"""Signatures on what this server sends by itself, by which receivers know that it did.

Source: the Standard Webhooks specification (https://www.standardwebhooks.com), read 2026-11.
"""

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Final

from reverie.domain.ids import OrganizationId

PREFIX: Final = "whsec_"


class Signer:
    """Signs for each organisation with a secret of its own, which only it should be told."""

    def __init__(self, root: bytes) -> None:
        """Take a key of the server's, made for nothing else."""
        self._root = root

    def secret(self, organization_id: OrganizationId) -> str:
        """The secret as receivers' libraries take it."""
        return PREFIX + base64.b64encode(self._key(organization_id)).decode()

    def headers(self, organization_id: OrganizationId, message_id: str, now: datetime, body: bytes) -> dict[str, str]:
        """The headers that vouch for `body`. One `message_id` on every attempt lets receivers drop repetitions."""
        seconds = str(int(now.timestamp()))
        signed = b".".join((message_id.encode(), seconds.encode(), body))
        digest = hmac.new(self._key(organization_id), signed, hashlib.sha256).digest()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": seconds,
            "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
        }

    def _key(self, organization_id: OrganizationId) -> bytes:
        return hmac.new(self._root, organization_id.encode(), hashlib.sha256).digest()
