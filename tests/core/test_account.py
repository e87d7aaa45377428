from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.account import ApiKey, Scope, hash_secret, hash_without_pepper, new_secret
from offpeak.core.ids import BATCH, new_id


def test_secrets_are_long_new_and_known_by_their_hash() -> None:
    secret = new_secret()
    assert secret.startswith("sk-offpeak-")
    assert len(secret) == len("sk-offpeak-") + 48
    assert secret != new_secret()
    assert secret not in hash_secret(secret, b"pepper")


def test_a_key_is_revoked_once_and_keeps_the_first_time() -> None:
    key = ApiKey(hash="h", id="key_1", account_id="a", name="ci", last4="abcd", created_at=1)
    assert key.revoked(5).revoked(9).revoked_at == 5


def test_without_the_pepper_a_hash_tells_nothing_and_can_not_be_made() -> None:
    secret = new_secret()
    hashes = {hash_secret(secret, b"a"), hash_secret(secret, b"b"), hash_without_pepper(secret)}
    assert len(hashes) == 3
    assert hash_secret(secret, b"a") in hashes


def test_a_scope_covers_itself_and_those_before_it() -> None:
    covered = {scope: {other for other in Scope if scope.covers(other)} for scope in Scope}
    assert covered == {
        Scope.READ: {Scope.READ}, Scope.SUBMIT: {Scope.READ, Scope.SUBMIT}, Scope.ADMIN: {*Scope},
    }  # fmt: skip


@given(
    end=st.none() | st.integers(1, 1_000), overlap=st.integers(0, 1_000), now=st.integers(0, 2_000)
)
def test_a_rotated_key_never_lives_longer_than_it_was_to(
    end: int | None, overlap: int, now: int
) -> None:
    key = ApiKey(
        hash="h", id="key_1", account_id="a", name="ci", last4="abcd", created_at=0, expires_at=end
    )
    rotated = key.rotated(overlap, now)
    for moment in range(0, 4_000, 50):
        assert not rotated.is_good(moment) or key.is_good(moment)
        if moment >= now + overlap:
            assert not rotated.is_good(moment)
    assert rotated.is_good(now) is (key.is_good(now) and overlap > 0)


@given(st.lists(st.floats(min_value=0, max_value=4e9), min_size=2, max_size=5))
def test_ids_sort_by_their_time_of_birth(times: list[float]) -> None:
    millis = sorted({int(t * 1000) for t in times})
    ids = [new_id(BATCH, t / 1000 + 1e-7) for t in millis]
    assert ids == sorted(ids)
    assert all(len(i) == len("batch_") + 28 for i in ids)
