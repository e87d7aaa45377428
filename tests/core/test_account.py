from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.account import ApiKey, hash_secret, new_secret
from offpeak.core.ids import BATCH, new_id


def test_secrets_are_long_new_and_known_by_their_hash() -> None:
    secret = new_secret()
    assert secret.startswith("sk-offpeak-")
    assert len(secret) == len("sk-offpeak-") + 48
    assert secret != new_secret()
    assert secret not in hash_secret(secret)


def test_a_key_is_revoked_once_and_keeps_the_first_time() -> None:
    key = ApiKey(hash="h", id="key_1", account_id="a", name="ci", last4="abcd", created_at=1)
    assert key.revoked(5).revoked(9).revoked_at == 5


@given(st.lists(st.floats(min_value=0, max_value=4e9), min_size=2, max_size=5))
def test_ids_sort_by_their_time_of_birth(times: list[float]) -> None:
    millis = sorted({int(t * 1000) for t in times})
    ids = [new_id(BATCH, t / 1000 + 1e-7) for t in millis]
    assert ids == sorted(ids)
    assert all(len(i) == len("batch_") + 28 for i in ids)
