"""What the operator of a server can ask for about organisations; callers of the API see their own only."""

from reverie.auth.keys import Caller, Scope
from reverie.domain.errors import InvalidInput, NotFound
from reverie.domain.ids import OrganizationId, make_id, user_of
from reverie.domain.organization import Organization
from reverie.operations.keys import KeyParts
from reverie.storage import organizations


async def named(ops: KeyParts, name: str) -> Organization:
    """The organisation of that name, made when there is none.

    Raises:
        InvalidInput: an empty name.
    """
    clean = " ".join(name.split())
    if not clean:
        raise InvalidInput("the name of an organisation is empty; give one, such as --organization acme")
    fresh = Organization(id=OrganizationId(make_id("org")), name=clean, created_at=ops.clock())
    return await ops.database.write(lambda c: organizations.put(c, fresh))


async def find(ops: KeyParts, name: str) -> Organization:
    """The organisation of that name.

    Raises:
        NotFound: there is none.
    """
    found = await ops.database.read(lambda c: organizations.find_named(c, " ".join(name.split())))
    if found is None:
        raise NotFound("organization", name, "`reverie keys list` shows those there are")
    return found


async def list_organizations(ops: KeyParts) -> list[Organization]:
    """Every organisation, the default one first."""
    return await ops.database.read(organizations.list_all)


async def of_caller(ops: KeyParts, caller: Caller) -> Organization:
    """The caller's own organisation."""
    caller.require(Scope.READ)
    return await ops.database.read(lambda c: organizations.get(c, caller.organization_id))


def operator_of(organization: Organization) -> Caller:
    """Who works on an organisation from the server's own machine: nobody's key, every scope."""
    return Caller(
        organization_id=organization.id, user_id=user_of(organization.id), scopes=frozenset(Scope), key_id=None
    )
