#!/usr/bin/env python3
"""Tests of the training scripts, in their own environment: `python python/emoji/emoji_test.py`. Seconds, no data."""
import pathlib
import tempfile
import unittest

import numpy as np
import onnxruntime
import torch
from torch import nn

import export_onnx
import from_onnx
import train_denoiser
from evaluate import ranks
from make_pairs import further_captions
from networks import SCHEDULER_CONFIG, Autoencoder, make_unet
from sample import Networks, draw
from small_map_conv import use_small_map_convolutions
from workspace import Pairs, write_file


def random_pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), np.uint8)


class SmallMapConvTest(unittest.TestCase):
    def test_result_and_gradients_are_those_of_the_ordinary_convolution(self):
        torch.manual_seed(0)
        plain = nn.Conv2d(6, 5, 3, padding=1).double()
        fast = nn.Sequential(nn.Conv2d(6, 5, 3, padding=1)).double()
        fast[0].load_state_dict(plain.state_dict())
        use_small_map_convolutions(fast)
        x = torch.randn(2, 6, 4, 3, dtype=torch.double, requires_grad=True)
        y = x.detach().clone().requires_grad_()

        expected, actual = plain(x), fast(y)
        upstream = torch.randn_like(expected)
        expected.backward(upstream)
        actual.backward(upstream)

        torch.testing.assert_close(actual, expected)
        torch.testing.assert_close(y.grad, x.grad)
        torch.testing.assert_close(fast[0].weight.grad, plain.weight.grad)
        torch.testing.assert_close(fast[0].bias.grad, plain.bias.grad)

    def test_strided_convolutions_stay_ordinary(self):
        layer = nn.Sequential(nn.Conv2d(4, 4, 3, stride=2, padding=1))
        use_small_map_convolutions(layer)
        self.assertIs(type(layer[0]), nn.Conv2d)


class RanksTest(unittest.TestCase):
    def test_the_picture_itself_ranks_first(self):
        real = random_pictures(7)
        np.testing.assert_array_equal(ranks(real[[4, 2]], real, np.array([4, 2])), [0, 0])

    def test_rank_counts_the_nearer_pictures(self):
        real = np.zeros((4, 64, 64, 3), np.uint8)
        real += np.array([0, 10, 20, 200], np.uint8)[:, None, None, None]
        drawn = np.full((1, 64, 64, 3), 1, np.uint8)
        self.assertEqual([int(ranks(drawn, real, np.array([row]))[0]) for row in range(4)], [0, 1, 2, 3])


class FurtherCaptionsTest(unittest.TestCase):
    def test_common_keywords_and_names_of_other_pictures_are_left_out(self):
        captions = ["a", "b", "c", "d", "apple", "flag: Japan"]
        keywords = [["face", "rare"], ["face", "apple"], ["face"], ["face"], ["face", "fruit"], []]
        self.assertEqual(further_captions(captions, keywords, {}),
                         [["rare"], [], [], [], ["fruit"], ["flag of Japan", "Japan flag"]])

    def test_everyday_words_belong_to_their_picture_alone(self):
        self.assertEqual(further_captions(["automobile", "taxi"], [["car"], ["car"]], {"car": "automobile"}),
                         [["car"], []])


class DrawTest(unittest.TestCase):
    def test_pictures_do_not_depend_on_the_batch(self):
        torch.manual_seed(0)
        networks = Networks(make_unet().eval(), Autoencoder().eval(), SCHEDULER_CONFIG)
        states = np.random.default_rng(0).normal(size=(3, 16, 384)).astype(np.float16)
        empty = np.zeros((16, 384), np.float16)

        together = draw(networks, states, empty, steps=2).astype(int)
        alone = draw(networks, states, empty, steps=2, batch=1).astype(int)

        self.assertLessEqual(np.abs(together - alone).max(), 1)
        self.assertGreater(np.abs(together[0] - together[1]).max(), 1)


class TrainingTest(unittest.TestCase):
    def batches(self) -> train_denoiser.Batches:
        count = 40
        pairs = Pairs(random_pictures(1), captions=[], groups=[], further=[], is_everyday=[True] + [False] * (count - 1))
        latents = torch.arange(count).view(-1, 1, 1, 1).float()
        owners = np.arange(count).repeat(2)

        def states(values):
            return np.broadcast_to(np.asarray(values, np.float16)[:, None, None], (len(values), 16, 384)).copy()

        text = {"captions": states(np.arange(count)), "others": states(owners + 100), "owners": owners,
                "empty": states([-1])[0]}
        return train_denoiser.Batches(latents, pairs, text)

    def test_every_latent_comes_with_a_wording_of_its_own(self):
        batches = self.batches()
        kinds = set()
        for _ in range(20):
            latents, states = batches.next()
            row, state = latents.flatten(), states[:, 0, 0].float()
            kind = torch.where(state < 0, 0, torch.where(state == row, 1, torch.where(state == row + 100, 2, 3)))
            kinds |= set(kind.tolist())
        self.assertEqual(kinds, {0, 1, 2})

    def test_everyday_things_come_twice_an_epoch(self):
        batches = self.batches()
        latents = torch.cat([batches.next()[0] for _ in range(41)]).flatten()  # 41 * 62 rows: 62 epochs of 41.
        self.assertEqual([int((latents == row).sum()) for row in range(3)], [124, 62, 62])

    def test_rate_warms_up_and_descends(self):
        peak = train_denoiser.PEAK_RATE
        rates = [train_denoiser.learning_rate(step, 10000) for step in (0, 499, 7000, 8500, 10000)]
        np.testing.assert_allclose(rates, [peak / 500, peak, peak, peak / 2, peak / 100])

    def test_training_goes_on_where_it_was_saved(self):
        torch.manual_seed(0)
        work = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        latents, states = torch.randn(4, 8, 16, 16), torch.randn(4, 16, 384)
        first, second = train_denoiser.Trainer(), train_denoiser.Trainer()
        first.train(latents, states, 1e-3)
        first.save(work)
        second.load(work)

        losses = []
        for trainer in (first, second):
            torch.manual_seed(1)
            losses.append([trainer.train(latents, states, 1e-3) for _ in range(2)])

        self.assertEqual(second.step, 3)
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)


class ExportTest(unittest.TestCase):
    def test_decoder_is_the_same_in_half_the_bytes(self):
        torch.manual_seed(0)
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "vae_decoder"
        autoencoder = Autoencoder().half().float().eval()
        latents = torch.randn(3, 8, 16, 16)

        export_onnx.export(export_onnx.VaeDecoder(autoencoder), folder, {"latent_sample": latents}, "sample",
                           export_onnx.VAE_CONFIG)

        parameters = sum(parameter.numel() for parameter in autoencoder.decoder.parameters())
        self.assertLess((folder / "model.onnx").stat().st_size, 2 * parameters + 40000)
        session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        actual = session.run(None, {"latent_sample": latents[:2].numpy()})[0]
        np.testing.assert_allclose(actual, autoencoder.decode(latents[:2]).detach().numpy(), atol=1e-4)

    def test_an_exported_autoencoder_becomes_a_module_again(self):
        torch.manual_seed(0)
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        autoencoder = Autoencoder()
        for parameter in autoencoder.parameters():  # All different: equal weights are stored once.
            nn.init.normal_(parameter, std=0.05)
        autoencoder = autoencoder.half().float().eval()
        autoencoder.shift.normal_()
        pictures, latents = torch.rand(2, 3, 64, 64), torch.randn(2, 8, 16, 16)

        export_onnx.export(export_onnx.VaeEncoder(autoencoder), folder / "vae_encoder", {"sample": pictures},
                           "latent_sample", {})
        export_onnx.export(export_onnx.VaeDecoder(autoencoder), folder / "vae_decoder", {"latent_sample": latents},
                           "sample", {})
        loaded = from_onnx.load_autoencoder(folder)

        for name, tensor in autoencoder.state_dict().items():
            np.testing.assert_array_equal(loaded.state_dict()[name], tensor, name)

    def test_a_wrong_export_is_refused(self):
        folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "noisy"

        class Noisy(nn.Module):
            calls = 0

            def forward(self, x):
                Noisy.calls += 1
                return x + float(Noisy.calls)

        with self.assertRaisesRegex(SystemExit, "noisy differs from PyTorch"):
            export_onnx.export(Noisy(), folder, {"x": torch.zeros(2, 3)}, "y", {})


class WriteFileTest(unittest.TestCase):
    def test_a_failed_write_leaves_the_old_file(self):
        path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory())) / "file"
        write_file(path, lambda partial: partial.write_text("old"))

        def fail(partial):
            partial.write_text("half")
            raise OSError

        with self.assertRaises(OSError):
            write_file(path, fail)
        self.assertEqual(path.read_text(), "old")


if __name__ == "__main__":
    torch.set_num_threads(1)
    unittest.main()
