"""The limit on calls to the cloud."""

from __future__ import annotations

import threading

import pytest

from alibroker.brokers.alibabacloud.rates import (
    Bucket,
    RateLimitedError,
    RateLimiter,
    RatesError,
    parse_rates,
)


class Clock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def admitted(bucket: Bucket, clock: Clock, seconds: float, per_second: int = 100) -> int:
    """Count what gets through when `per_second` callers a second try."""
    count = 0
    for _ in range(round(seconds * per_second)):
        clock.now += 1 / per_second
        try:
            bucket.reserve(max_wait=0.0)
        except RateLimitedError:
            continue
        count += 1
    return count


def drained(rate: float, clock: Clock) -> Bucket:
    bucket = Bucket(rate, clock=clock)
    drain(bucket)
    return bucket


def drain(bucket: Bucket) -> int:
    for count in range(1_000_000):
        try:
            bucket.reserve(max_wait=0.0)
        except RateLimitedError:
            return count
    raise AssertionError


def test_a_burst_is_let_through_and_then_the_rate_holds(clock: Clock) -> None:
    bucket = Bucket(2.0, clock=clock)
    assert drain(bucket) == 40
    assert 19 <= admitted(bucket, clock, seconds=10) <= 20


def test_nobody_is_held_up_for_longer_than_a_second(clock: Clock) -> None:
    bucket = drained(0.5, clock)
    with pytest.raises(RateLimitedError) as refused:
        bucket.reserve()
    assert refused.value.after > 1.0
    clock.now += 1.5
    assert 0.0 < bucket.reserve() <= 1.0


def test_those_who_are_sent_away_do_not_come_back_all_at_once(clock: Clock) -> None:
    bucket = drained(1.0, clock)
    times = []
    for _ in range(10):
        with pytest.raises(RateLimitedError) as refused:
            bucket.reserve(max_wait=0.0)
        times.append(refused.value.after)
    assert times == sorted(set(times))
    assert times[-1] - times[0] >= 8.0


def test_throttling_halves_the_rate_and_success_restores_it(clock: Clock) -> None:
    bucket = Bucket(10.0, clock=clock)
    bucket.slow_down(after=3.0)
    with pytest.raises(RateLimitedError) as refused:
        bucket.reserve()
    assert refused.value.after >= 3.0
    clock.now += 4.0
    drain(bucket)
    assert admitted(bucket, clock, seconds=10) == pytest.approx(50, abs=2)
    for _ in range(100):
        bucket.went_well()
    drain(bucket)
    assert admitted(bucket, clock, seconds=10) == pytest.approx(100, abs=2)


def test_replicas_share_a_rate(clock: Clock) -> None:
    bucket = Bucket(10.0, clock=clock)
    bucket.slow_down(0.0)
    bucket.share(2)
    for _ in range(1000):
        bucket.went_well()
    clock.now += 1000.0
    waits = [bucket.reserve(max_wait=1000.0) for _ in range(110)]
    assert waits[-1] == pytest.approx((110 - waits.count(0.0)) / 5.0, rel=0.05)
    bucket.share(1)
    clock.now += 1000.0
    waits = [bucket.reserve(max_wait=1000.0) for _ in range(110)]
    assert waits[-1] == pytest.approx((110 - waits.count(0.0)) / 10.0, rel=0.05)


def test_what_has_no_limit_is_shared_without_any() -> None:
    bucket = Bucket(float("inf"))
    bucket.share(3)
    assert bucket.reserve() == 0.0


def test_many_threads_get_no_more_than_the_bucket_holds() -> None:
    bucket = Bucket(0.001)
    taken: list[float] = []

    def take() -> None:
        for _ in range(50):
            try:
                taken.append(bucket.reserve(max_wait=0.0))
            except RateLimitedError:
                return

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1


def test_reads_and_writes_of_a_product_do_not_slow_each_other() -> None:
    limiter = RateLimiter(parse_rates("rds.read=1, rds.write=2"))
    assert limiter.bucket("rds", "DescribeDBInstances") is limiter.bucket("rds", "ListClasses")
    assert limiter.bucket("rds", "DescribeDBInstances") is not limiter.bucket(
        "rds", "CreateAccount"
    )


def test_what_a_setting_does_not_name_keeps_its_default() -> None:
    assert parse_rates("oss.write=99") == {**parse_rates(""), "oss.write": 99.0}
    assert set(parse_rates("unlimited").values()) == {float("inf")}


@pytest.mark.parametrize("text", ["rds=1", "rds.read", "rds.read=0", "rds.read=nan", "ecs.read=1"])
def test_a_rate_that_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(RatesError):
        parse_rates(text)
