"""Bottlenecks: the interface all of them share, and what each promises of its own."""

import copy
import itertools
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_divergence
from torch.nn import functional as F

from rtf.models.bottlenecks import vae
from rtf.models.bottlenecks.ae import AEBottleneck
from rtf.models.bottlenecks.ae_rvq import AERVQBottleneck
from rtf.models.bottlenecks.codebook import Codebook, usage
from rtf.models.bottlenecks.fsq import FSQBottleneck
from rtf.models.bottlenecks.packing import bits_of, bytes_of, pack, unpack
from rtf.models.bottlenecks.rvq import RVQBottleneck
from rtf.models.bottlenecks.vae import VAEBottleneck
from rtf.models.bottlenecks.vqvae import VQVAEBottleneck

D, LATENT = 32, 6
BUILD = {
    "ae": AEBottleneck,
    "vae": VAEBottleneck,
    "vqvae": VQVAEBottleneck,
    "rvq": RVQBottleneck,
    "ae_rvq": AERVQBottleneck,
    "fsq": FSQBottleneck,
    "fsq_uneven": lambda d, n: FSQBottleneck(d, n, levels=[8, 5, 3, 2, 7, 4]),
}
LEARNING, QUANTISED = ("vqvae", "rvq"), ("vqvae", "rvq", "fsq", "fsq_uneven")
CONF = Path(__file__).parents[2] / "conf" / "bottleneck"


def pooled(n=20, seed=0, d=D):
    return F.layer_norm(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), (d,))


def trained(name, steps=3, seed=0):
    """A bottleneck that has seen a few batches, in evaluation mode."""
    torch.manual_seed(seed)
    bottleneck = BUILD[name](D, LATENT).train()
    for step in range(steps):
        bottleneck(pooled(24, seed=100 + step))
    return bottleneck.eval()


# What all have in common.


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", BUILD)
def test_interface(name, training):
    bottleneck = BUILD[name](D, LATENT).train(training)
    latent, loss = bottleneck(pooled())
    assert latent.shape == (20, LATENT) and latent.dtype == torch.float32
    assert loss.shape == () and loss >= 0
    assert bottleneck.latent_dim == LATENT and bottleneck.bytes == math.ceil(bottleneck.bits / 8)
    assert all(type(v) is float and math.isfinite(v) for v in bottleneck.metrics().values())
    assert bottleneck.metrics() == {}, "reading begins the count anew"


@pytest.mark.parametrize("config", sorted(p.stem for p in CONF.glob("*.yaml")))
def test_the_configuration_states_the_defaults(config):
    with initialize_config_dir(str(CONF), version_base=None):
        chosen = instantiate(compose(config))
    configured, default = chosen(d_model=D, latent_dim=64), chosen.func(D, 64)
    assert (configured.bits, configured.bytes) == (default.bits, default.bytes)
    assert configured.extra_repr() == default.extra_repr()
    plain = (int, float, tuple)
    for a, b in zip(configured.modules(), default.modules(), strict=True):
        assert {k: v for k, v in vars(a).items() if isinstance(v, plain)} == {
            k: v for k, v in vars(b).items() if isinstance(v, plain)
        }


@pytest.mark.parametrize(
    ("name", "n_bits", "n_bytes"),
    [
        ("ae", 2048, 256),
        ("vae", 2048, 256),
        ("vqvae", 9, 2),
        ("rvq", 64, 8),
        ("ae_rvq", 2048, 256),
        ("fsq", 192, 24),
    ],
)
def test_what_is_sent_for_64_dimensions(name, n_bits, n_bytes):
    bottleneck = BUILD[name](128, 64)
    assert (bottleneck.bits, bottleneck.bytes) == (n_bits, n_bytes)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", BUILD)
def test_gradients_reach_the_encoder(name, training):
    bottleneck, x = trained(name).train(training), pooled().requires_grad_()
    latent = bottleneck(x)[0]
    (latent**2).sum().backward()
    assert (x.grad.abs().sum(1) > 0).all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in bottleneck.parameters())


@pytest.mark.parametrize("name", BUILD)
def test_evaluation_repeats_itself_changes_nothing_and_knows_no_batch(name):
    bottleneck, x = trained(name), pooled(40)
    before = copy.deepcopy(bottleneck.state_dict())
    first, again = bottleneck(x)[0], bottleneck(x)[0]
    assert torch.equal(first, again)
    parts = torch.cat([bottleneck(part)[0] for part in x.split([1, 7, 32])])
    torch.testing.assert_close(parts, first, atol=1e-6, rtol=1e-5)
    after = bottleneck.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[k], after[k]) for k in before)


@pytest.mark.parametrize("name", BUILD)
def test_a_saved_bottleneck_goes_on_as_if_never_stopped(name):
    whole, stopped = trained(name).train(), trained(name).train()
    resumed = BUILD[name](D, LATENT).train()
    resumed.load_state_dict(load(save(stopped.state_dict())))
    outputs = []
    for bottleneck in (whole, resumed):
        torch.manual_seed(5)
        outputs.append([bottleneck(pooled(24, seed=200 + step)) for step in range(4)])
    for (a, a_loss), (b, b_loss) in zip(*outputs):
        assert torch.equal(a, b) and torch.equal(a_loss, b_loss)
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in whole.state_dict().items())


@pytest.mark.parametrize("name", BUILD)
def test_bfloat16_autocast(name):
    """The projection may be rounded; what comes after is as exact as ever."""
    torch.manual_seed(0)
    bottleneck = BUILD[name](D, LATENT).train()
    with torch.autocast("cpu", torch.bfloat16):
        for step in range(3):
            latent, loss = bottleneck(pooled(seed=step))
        assert loss.dtype == torch.float32 or name == "ae"
        if name in QUANTISED:
            bottleneck.eval()
            latent = bottleneck(pooled())[0]
            assert latent.dtype == torch.float32
            assert torch.equal(latent, bottleneck.from_codes(bottleneck.codes(pooled())))
    for codebook in (m for m in bottleneck.modules() if isinstance(m, Codebook)):
        used = codebook.count > 0
        mean = codebook.total[used] / codebook.count[used, None]
        torch.testing.assert_close(codebook.vectors[used], mean, atol=1e-5, rtol=1e-5)


# Codes, and the bytes they are sent in.


@pytest.mark.parametrize("steps", [0, 1, 30])
@pytest.mark.parametrize("name", QUANTISED)
def test_the_fingerprint_comes_back_from_its_bytes(name, steps):
    bottleneck, x = trained(name, steps), pooled(50)
    with torch.no_grad():
        latent, codes = bottleneck(x)[0], bottleneck.codes(x)
    assert codes.dtype == torch.int64 and codes.shape == (50, len(bottleneck.sizes))
    packed = pack(codes, bottleneck.sizes)
    assert packed.dtype == torch.uint8 and packed.shape == (50, bottleneck.bytes)
    assert torch.equal(bottleneck.from_codes(unpack(packed, bottleneck.sizes)), latent)


def test_floats_and_their_codes_from_one_training():
    bottleneck, x = trained("ae_rvq", 30), pooled(200, seed=3)
    with torch.no_grad():
        floats, projected = bottleneck(x)[0], bottleneck.project(x)
        stand_for = bottleneck.from_codes(bottleneck.codes(x))
        bottleneck.coded = True
        coded = bottleneck(x)[0]
        shown = bottleneck.train()(x)[0]
    assert torch.equal(floats, projected) and torch.equal(coded, stand_for)
    assert (coded - floats).square().mean() < 0.7 * floats.var()
    # training shows the decoder about as many of one kind as of the other
    assert 0.3 < (shown == projected).all(1).float().mean() < 0.7


@given(data=st.data(), sizes=st.lists(st.integers(2, 1 << 30) | st.integers(2, 9), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_packing_is_mixed_radix(data, sizes):
    row = st.tuples(*(st.integers(0, size - 1) | st.just(size - 1) for size in sizes))
    rows = data.draw(st.lists(row, max_size=4))
    codes = torch.tensor(rows, dtype=torch.int64).view(len(rows), len(sizes))
    packed = pack(codes, sizes)
    assert packed.shape == (len(rows), bytes_of(sizes))
    assert torch.equal(unpack(packed, sizes), codes)
    for digits, sent in zip(rows, packed):
        number = sum(digit * math.prod(sizes[:k]) for k, digit in enumerate(digits))
        assert bytes(sent.tolist()) == number.to_bytes(bytes_of(sizes), "little")


def test_sizes_in_bits_and_bytes():
    assert bits_of([256] * 8) == 64 and bytes_of([256] * 8) == 8
    assert bits_of([5] * 64) == pytest.approx(148.6, abs=0.01) and bytes_of([5] * 64) == 19
    assert bytes_of([512]) == 2 and bytes_of([257]) == 2 and bytes_of([2]) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pack(torch.tensor([[1, 9]]), [4, 9]), r"codes\[0, 1\] is 9; codebook 1 has 9 codes"),
        (lambda: pack(torch.tensor([[-1]]), [4]), r"codes\[0, 0\] is -1"),
        (lambda: pack(torch.zeros(2, 3, dtype=torch.int64), [4]), r"\(2, 3\)"),
        (lambda: pack(torch.zeros(2, 1, dtype=torch.int64), [1]), "sizes are"),
        (lambda: unpack(torch.zeros(2, 3, dtype=torch.uint8), [4]), r"\(B, 1\)"),
        (lambda: unpack(torch.tensor([[3], [15]], dtype=torch.uint8), [5, 2]), "row 1 hold no codes"),
        (lambda: VQVAEBottleneck(D, LATENT, n_codes=1), r"bottleneck\.n_codes is 1"),
        (lambda: VQVAEBottleneck(D, LATENT, decay=1.0), r"bottleneck\.decay is 1\.0"),
        (lambda: RVQBottleneck(D, LATENT, dead_below=2), r"bottleneck\.dead_below is 2"),
        (lambda: RVQBottleneck(D, LATENT, n_codebooks=0), r"bottleneck\.n_codebooks is 0"),
        (lambda: FSQBottleneck(D, LATENT, levels=[8, 8]), r"bottleneck\.levels is \[8, 8\]"),
        (lambda: FSQBottleneck(D, LATENT, levels=1), r"bottleneck\.levels is 1"),
        (lambda: VAEBottleneck(D, LATENT, beta=-1), r"bottleneck\.beta is -1"),
    ],
)
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# VAE.


@given(mean=st.floats(-5, 5), log_variance=st.floats(-15, 5))
def test_divergence_agrees_with_torch(mean, log_variance):
    mean, log_variance = torch.tensor([mean, log_variance], dtype=torch.float64)
    reference = reference_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(
        vae.kl_divergence(mean, log_variance), reference.double(), atol=1e-6, rtol=1e-6
    )


def test_divergence_below_the_free_bits_costs_a_constant():
    divergence = torch.tensor([0.1, 0.3], requires_grad=True)
    cost = vae.free(divergence, 0.25).sum()
    cost.backward()
    assert cost.item() == pytest.approx(0.25 + 0.3)
    assert divergence.grad.tolist() == [0, 1]


def test_loss_is_the_sum_over_dimensions_of_the_mean_over_the_batch():
    bottleneck, x = VAEBottleneck(D, LATENT, beta=0.5, free_bits=0.25).eval(), pooled()
    log_variance = bottleneck.log_variance(x)
    each = reference_divergence(Normal(bottleneck.mean(x), (log_variance / 2).exp()), Normal(0.0, 1.0))
    torch.testing.assert_close(bottleneck(x)[1], 0.5 * each.mean(0).clamp(min=0.25).sum())


def test_beta_rises_in_training_and_is_full_in_evaluation():
    bottleneck, x = VAEBottleneck(D, LATENT, warmup=0.2), pooled()
    full = bottleneck.train()(x)[1]
    for fraction, share in [(0, 0), (0.05, 0.25), (0.2, 1), (0.7, 1), (1, 1)]:
        bottleneck.set_progress(fraction)
        torch.testing.assert_close(bottleneck.train()(x)[1], share * full)
        torch.testing.assert_close(bottleneck.eval()(x)[1], full)


def test_vae_draws_in_training_and_gives_the_mean_in_evaluation():
    bottleneck, x = VAEBottleneck(D, LATENT), pooled(1).expand(20000, D)
    with torch.no_grad():
        mean, drawn = bottleneck.eval()(x)[0], bottleneck.train()(x)[0]
    torch.testing.assert_close(mean, bottleneck.mean(x))
    torch.testing.assert_close(drawn.mean(0), mean[0], atol=0.01, rtol=0)
    spread = (bottleneck.log_variance(x)[0] / 2).exp()
    torch.testing.assert_close(drawn.std(0), spread, atol=0, rtol=0.05)


def test_vae_metrics_count_the_dimensions_that_tell_sources_apart():
    bottleneck = VAEBottleneck(D, LATENT).train()
    with torch.no_grad():
        bottleneck.mean.weight[:2] = 0  # the same for all sources
    divergence = [
        vae.kl_divergence(bottleneck.mean(x), bottleneck.log_variance(x))
        for x in (pooled(20, 1), pooled(5, 2))
        if bottleneck(x)
    ]
    metrics = bottleneck.metrics()
    assert metrics["active_dimensions"] == LATENT - 2
    assert metrics["kl_per_dimension"] == pytest.approx(torch.cat(divergence).mean().item(), rel=1e-4)


# Codebooks.


def test_usage_by_hand():
    metrics = usage([torch.tensor([2.0, 2, 0, 0]), torch.tensor([1.0, 1, 1, 1])])
    assert metrics == pytest.approx({"code_use": 0.75, "perplexity": 3.0})
    uneven = usage([torch.tensor([3.0, 1, 0])])
    assert uneven["perplexity"] == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))
    assert usage([torch.zeros(4)]) == {}


def test_metrics_count_training_batches_alone():
    bottleneck = trained("vqvae", steps=0)
    bottleneck(pooled())
    assert bottleneck.metrics() == {}
    bottleneck.train()(pooled(1))
    assert bottleneck.metrics() == pytest.approx({"code_use": 1 / 512, "perplexity": 1.0})


def filled(vectors, decay=0.9, dead_below=0.1) -> Codebook:
    codebook = Codebook(len(vectors), vectors.shape[1], decay=decay, dead_below=dead_below)
    codebook.vectors.copy_(vectors)
    codebook.count.fill_(1.0)
    codebook.total.copy_(vectors)
    return codebook


def test_running_mean_by_hand():
    codebook = filled(torch.tensor([[0.0, 0], [10, 10]]))
    codes, vectors = codebook.learn(torch.tensor([[1.0, 0], [2, 0], [1, 3]]))
    assert codes.tolist() == [0, 0, 0]
    assert vectors.tolist() == [[0, 0]] * 3, "the batch is quantised with the codes as they were"
    count = 0.9 + 0.1 * 3
    torch.testing.assert_close(codebook.count, torch.tensor([count, 0.9]))
    torch.testing.assert_close(codebook.vectors, torch.tensor([[0.4 / count, 0.3 / count], [10, 10]]))


def test_a_dead_code_takes_a_vector_far_from_its_code():
    codebook = filled(torch.tensor([[0.0, 0], [5, 5], [1e6, 0]]))
    z = torch.tensor([[0.0, 0], [5, 5], [0, 3]])
    for _ in range(10):
        codebook.learn(z)
    assert codebook.vectors[2].tolist() == [1e6, 0], "not dead yet"
    for _ in range(100):
        codebook.learn(z)
    assert sorted(codebook.nearest(z).tolist()) == [0, 1, 2]
    torch.testing.assert_close(codebook.lookup(codebook.nearest(z)), z, atol=1e-3, rtol=0)


def test_reviving_follows_the_seed():
    def after(seed):
        codebook = filled(pooled(16, 3, d=4))
        codebook.count[5:] = 1e-3
        torch.manual_seed(seed)
        codebook.learn(pooled(30, 4, d=4))
        return codebook.vectors

    assert torch.equal(after(1), after(1)) and not torch.equal(after(1), after(2))


def test_codes_that_never_came_from_data_stand_for_nothing():
    codebook = Codebook(64, 4, decay=0.99, dead_below=0.1)
    codebook.learn(pooled(3, d=4))
    assert 0 < (codebook.count > 0).sum() <= 3
    assert (codebook.count[codebook.nearest(pooled(200, 1, d=4))] > 0).all()


@pytest.mark.parametrize("name", LEARNING)
def test_a_batch_of_one_and_of_identical_sources(name):
    bottleneck = BUILD[name](D, LATENT).train()
    for x in (pooled(1), pooled(1).expand(30, D), pooled(2)):
        latent, loss = bottleneck(x)
        assert latent.isfinite().all() and loss.isfinite()


def clusters(n, k=10, dim=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    centre = 5 * torch.randn(k, dim, generator=torch.Generator().manual_seed(99))
    label = torch.randint(k, (n,), generator=generator)
    return centre, label, centre[label] + 0.1 * torch.randn(n, dim, generator=generator)


def test_a_codebook_finds_the_clusters():
    torch.manual_seed(0)
    codebook = Codebook(16, 4, decay=0.95, dead_below=0.1)
    for step in range(200):
        codebook.learn(clusters(64, seed=step)[2])
    centre, label, z = clusters(500, seed=1000)
    codes = codebook.nearest(z)
    assert torch.cdist(centre, codebook.vectors).amin(1).max() < 0.25
    pure = [label[codes == code].unique().numel() == 1 for code in codes.unique()]
    assert all(pure), "no code is shared by two clusters"


def test_residual_error_falls_with_every_codebook():
    torch.manual_seed(0)
    bottleneck = RVQBottleneck(D, LATENT, n_codebooks=4, n_codes=16, decay=0.95).train()
    for step in range(150):
        bottleneck(pooled(64, seed=step))
    bottleneck.eval()
    with torch.no_grad():
        x = pooled(500, seed=1000)
        z, codes = bottleneck.project(x), bottleneck.codes(x)
        parts = [c.lookup(code) for c, code in zip(bottleneck.codebooks, codes.T)]
        error = [(z - sum(parts[: k + 1])).square().mean().item() for k in range(4)]
    assert all(later < 0.8 * earlier for earlier, later in itertools.pairwise(error)), error


def test_commitment_pulls_vectors_to_their_codes():
    bottleneck, x = trained("vqvae", 10), pooled()
    z = bottleneck.project(x)
    latent, loss = bottleneck(x)
    torch.testing.assert_close(loss, 0.25 * (z - latent).square().mean())
    bottleneck.zero_grad()
    loss.backward()
    step = bottleneck.project.weight - bottleneck.project.weight.grad
    assert (F.linear(x, step, bottleneck.project.bias) - latent).square().mean() < 4 * loss


ONE_OF_TWO = """
import sys, torch
from torch import distributed as dist
from rtf.models.bottlenecks.codebook import Codebook
folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
torch.manual_seed(rank)
known, new = (Codebook(8, 4, decay=0.9, dead_below=0.1) for _ in range(2))
state, batches = torch.load(f"{folder}/given.pt")
known.load_state_dict(state)
for z in batches:
    known.learn(z.tensor_split(2)[rank])
    new.learn(z.tensor_split(2)[rank])
torch.save((known.state_dict(), new.state_dict()), f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


def test_processes_that_share_a_batch_keep_one_codebook(tmp_path):
    alone, batches = filled(pooled(8, 1, d=4)), [pooled(33, s, d=4) for s in range(3)]
    torch.save((alone.state_dict(), batches), tmp_path / "given.pt")
    command = [sys.executable, "-c", ONE_OF_TWO, str(tmp_path)]
    processes = [subprocess.Popen([*command, str(rank)]) for rank in (0, 1)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    (known, new), (known_1, new_1) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(new[k], new_1[k]) for k in new), "though chance differs between them"
    for z in batches:
        alone.learn(z)
    for key, value in alone.state_dict().items():
        assert torch.equal(known[key], known_1[key])
        torch.testing.assert_close(known[key], value)


# FSQ.


@pytest.mark.parametrize("levels", [2, 3, 5, 8])
def test_levels_are_exact_and_evenly_spaced(levels):
    bottleneck = FSQBottleneck(1, 1, levels=levels).eval()
    with torch.no_grad():
        bottleneck.project.weight.fill_(1.0), bottleneck.project.bias.fill_(0.0)
        latent = bottleneck(torch.linspace(-9, 9, 2001)[:, None])[0]
    torch.testing.assert_close(latent.unique(), torch.linspace(-1, 1, levels))
    assert latent.amin() == -1 and latent.amax() == 1
    assert (latent.diff(dim=0) >= 0).all()


def test_rounding_is_to_the_nearest_level_and_passes_the_gradient_of_the_squeeze():
    bottleneck, x = trained("fsq"), pooled().requires_grad_()
    squeezed = bottleneck.project(x).tanh()
    latent = bottleneck(x)[0]
    assert (latent - squeezed).abs().max() <= 1 / 7 + 1e-6
    ours, theirs = (torch.autograd.grad(y.sum(), x, retain_graph=True)[0] for y in (latent, squeezed))
    torch.testing.assert_close(ours, theirs)
