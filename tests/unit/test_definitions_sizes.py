"""The size table as AWS publishes it, and the string forms of cpu and memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neargate.definitions.sizes import FARGATE_SIZES, is_fargate_size, parse_cpu, parse_memory


def test_the_table_has_as_many_configurations_as_aws_lists() -> None:
    counts = {cpu: len(memory) for cpu, memory in FARGATE_SIZES.items()}
    assert counts == {256: 3, 512: 4, 1024: 7, 2048: 13, 4096: 23, 8192: 12, 16384: 12, 32768: 3}
    # The five sizes of 2018 had fifty configurations.
    assert sum(counts[cpu] for cpu in (256, 512, 1024, 2048, 4096)) == 50


@pytest.mark.parametrize(
    ("cpu", "memory", "exists"),
    [
        (256, 512, True),
        (256, 3072, False),
        (512, 512, False),
        (1024, 2048, True),
        (1024, 2049, False),
        (4096, 4096, False),
        (4096, 30720, True),
        (8192, 17408, False),
        (8192, 20480, True),
        (16384, 122880, True),
        (16384, 36864, False),
        (32768, 61440, True),
        (32768, 65536, False),
        (300, 512, False),
    ],
)
def test_a_size_exists_only_in_the_table(cpu: int, memory: int, exists: bool) -> None:
    assert is_fargate_size(cpu, memory) is exists


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("1024", 1024),
        (" 256 ", 256),
        ("1 vCpu", 1024),
        ("1 VCPU", 1024),
        ("1vcpu", 1024),
        (".5 vCPU", 512),
        ("0.25 vcpu", 256),
        ("2 vCPUs", 2048),
        ("0", None),
        ("-1", None),
        ("", None),
        ("vCPU", None),
        ("1 cpu", None),
        ("1.5", None),
        ("0.0001 vCPU", None),
        ("1e3", None),
        ("1 GB", None),
        ("١٠٢٤", None),
        ("9" * 100_000, None),
    ],
)
def test_cpu_forms(text: str, units: int | None) -> None:
    assert parse_cpu(text) == units


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("512", 512),
        ("2 gb", 2048),
        ("2GB", 2048),
        ("0.5 GB", 512),
        (".5gb", 512),
        ("2 MB", None),
        ("2 vCPU", None),
        ("0 GB", None),
        ("1,5 GB", None),
        ("GB", None),
    ],
)
def test_memory_forms(text: str, mib: int | None) -> None:
    assert parse_memory(text) == mib


@given(
    units=st.integers(1, 196608),
    unit=st.sampled_from(["vcpu", "vCPU", "VCPU", "vCpus"]),
    gap=st.sampled_from(["", " "]),
)
def test_both_ways_of_writing_cpu_say_the_same(units: int, unit: str, gap: str) -> None:
    assert parse_cpu(str(units)) == units
    if units % 16 == 0:  # six decimals write these exactly
        assert parse_cpu(f"{units / 1024:.6f}{gap}{unit}") == units


@given(gigabytes=st.integers(1, 244), unit=st.sampled_from(["gb", "GB", "Gb"]), gap=st.sampled_from(["", " "]))
def test_both_ways_of_writing_memory_say_the_same(gigabytes: int, unit: str, gap: str) -> None:
    assert parse_memory(f"{gigabytes}{gap}{unit}") == parse_memory(str(gigabytes * 1024)) == gigabytes * 1024


@given(st.text(max_size=40))
def test_no_text_makes_the_parsers_fail_or_answer_nonsense(text: str) -> None:
    for parse in (parse_cpu, parse_memory):
        value = parse(text)
        assert value is None or value > 0
