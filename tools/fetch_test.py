#!/usr/bin/env python3
"""Tests of tools/fetch.py without any network: `python3 tools/fetch_test.py`."""
import copy
import os
import subprocess
import sys
import tempfile
import threading
import unittest
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fetch  # noqa: E402

CONTENT = b"library"
SPEC = {"sources": [{"kind": "fake", "package": "p", "version": "1", "links": {"lib/l.so": "l.so.1"},
                     "files": [{"member": "l.so.1", "to": "lib/l.so.1",
                                "sha256": "b718f1354f7247312eca086d9a024afe5fa717ddea5adeddd6f12bcf945b2e8c"}]}]}


class FetchTest(unittest.TestCase):
    def setUp(self):
        self.cache = self.enterContext(tempfile.TemporaryDirectory())
        self.enterContext(mock.patch.object(fetch, "say"))
        self.unpacked = 0
        self.content = CONTENT
        self.enterContext(mock.patch.dict(fetch.UNPACK, {"fake": self.unpack}))

    def unpack(self, source, scratch, target):
        self.unpacked += 1
        os.makedirs(os.path.join(target, "lib"))
        with open(os.path.join(target, "lib", "l.so.1"), "wb") as f:
            f.write(self.content)

    def read(self, folder):
        with open(os.path.join(folder, "lib", "l.so"), "rb") as f:
            return f.read()

    def test_second_fetch_does_nothing(self):
        folder = fetch.fetch_set(self.cache, "s", SPEC)
        self.assertEqual(self.read(folder), CONTENT)

        fetch.fetch_set(self.cache, "s", SPEC)

        self.assertEqual(self.unpacked, 1)

    def test_changed_lock_fetches_again(self):
        fetch.fetch_set(self.cache, "s", SPEC)
        newer = copy.deepcopy(SPEC)
        newer["sources"][0]["version"] = "2"

        fetch.fetch_set(self.cache, "s", newer)

        self.assertEqual(self.unpacked, 2)

    def test_missing_or_truncated_file_fetches_again(self):
        folder = fetch.fetch_set(self.cache, "s", SPEC)
        os.truncate(os.path.join(folder, "lib", "l.so.1"), 3)
        self.assertEqual(self.read(fetch.fetch_set(self.cache, "s", SPEC)), CONTENT)
        os.remove(os.path.join(folder, "lib", "l.so"))
        self.assertEqual(self.read(fetch.fetch_set(self.cache, "s", SPEC)), CONTENT)

    def test_wrong_checksum_is_refused_and_keeps_the_old_state(self):
        folder = fetch.fetch_set(self.cache, "s", SPEC)
        newer = copy.deepcopy(SPEC)
        newer["sources"][0]["version"] = "2"
        self.content = b"evil"

        with self.assertRaisesRegex(fetch.FetchError, "lib/l.so.1: SHA-256 is [0-9a-f]{64}, .*lock.json pins b718"):
            fetch.fetch_set(self.cache, "s", newer)

        self.assertEqual(self.read(folder), CONTENT)
        self.assertEqual([name for name in os.listdir(self.cache) if "partial" in name], [])

    def test_leftovers_of_a_killed_run_go_away(self):
        os.makedirs(os.path.join(self.cache, ".partial-s.dead", "finished"))

        fetch.fetch_set(self.cache, "s", SPEC)

        self.assertFalse(os.path.exists(os.path.join(self.cache, ".partial-s.dead")))

    def test_two_at_once_do_the_work_once(self):
        threads = [threading.Thread(target=fetch.fetch_set, args=(self.cache, "s", SPEC)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        self.assertEqual(self.unpacked, 1)

    def test_missing_clients_name_the_package_to_install(self):
        with mock.patch("shutil.which", return_value=None):
            with self.assertRaisesRegex(fetch.FetchError, "install the Debian package golang-go"):
                fetch.unpack_go_module({"module": "m", "version": "v1", "files": []}, self.cache, self.cache)
        with mock.patch("importlib.util.find_spec", return_value=None):
            with self.assertRaisesRegex(fetch.FetchError, "install the Debian package python3-pip"):
                fetch.require_pip()

    def test_minio_is_built_once_and_again_for_another_version(self):
        commands = []

        def fake_run(command, what, timeout=0, cwd=None, env=None):
            commands.append(command[-1])
            os.makedirs(env["GOBIN"])
            with open(os.path.join(env["GOBIN"], "minio"), "w", encoding="utf-8") as f:
                f.write(command[-1])
            os.chmod(os.path.join(env["GOBIN"], "minio"), 0o755)

        with mock.patch.object(fetch, "run", fake_run), mock.patch.object(fetch, "require_go", lambda path: "go"):
            for version in ("v1", "v1", "v2"):
                binary = fetch.build_minio(self.cache, {"module": "m", "version": version})

        self.assertEqual(commands, ["m@v1", "m@v2"])
        with open(binary, encoding="utf-8") as f:
            self.assertEqual(f.read(), "m@v2")
        self.assertEqual([name for name in os.listdir(self.cache) if name.startswith(".partial")], [])

    def test_unknown_set_is_an_error_that_lists_the_known_ones(self):
        done = subprocess.run([sys.executable, fetch.__file__, "--cache", self.cache, "onxruntime"],
                              capture_output=True, text=True, check=False)

        self.assertEqual(done.returncode, 2)
        self.assertIn("unknown set 'onxruntime': third_party/lock.json has onnxruntime, magika, minilm, openvino",
                      done.stderr)


if __name__ == "__main__":
    unittest.main()
