# For a newcomer: `make demo` and `make test` (`make test-fast`: without the slow ones), and `make docs` for the site.
# Each builds .venv from the pinned set first.

PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
CODEC_METRICS := bitrate[measured@1],stoi[pystoi],mel-distance[multi-resolution],mos[distillmos@7],wer[whisper-normalizer@20250625]
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-fast docs browser clean
.DELETE_ON_ERROR:

demo: .venv/.demo
	OMP_NUM_THREADS=1 $(BIN)/speech-eval run --model hibari --model espeak-ng --tasks seed-tts,latency --limit 40 --output $(DEMO)
	OMP_NUM_THREADS=1 $(BIN)/speech-eval run --model whisper-tiny.en --tasks asr,latency --limit 40 --output $(DEMO)/whisper-tiny.en
	OMP_NUM_THREADS=1 $(BIN)/speech-eval run --model dac-16k-2k --tasks codec-reconstruction,codec-depth --data asterisk-en@held-out --limit 12 --metrics '$(CODEC_METRICS)' --output $(DEMO)/dac-16k-2k
	OMP_NUM_THREADS=1 $(BIN)/speech-eval run --model opus,bitrate=6000 --tasks codec-reconstruction --data asterisk-en@held-out --limit 12 --metrics '$(CODEC_METRICS)' --output $(DEMO)/opus-6k
	OMP_NUM_THREADS=1 $(BIN)/speech-eval run --model cascade:whisper-base+smollm2,max_new_tokens=64 --tasks spoken-qa --limit 16 --output $(DEMO)/cascade
	$(BIN)/speech-eval leaderboard build $(DEMO) --output site
	test -e listening/key.json || $(BIN)/speech-eval listen build $(DEMO)/dac-16k-2k $(DEMO)/opus-6k --kind mushra,ab --samples 6 --output listening

# Two processes, for two cores: the folders with the slowest tests, and the others. What the first says is shown at the end.
SLOW := tests/repository tests/reference_models tests/leaderboard tests/cli

test-fast: CHOSEN := -m "not slow"
test test-fast: .venv/.dev browser
	@$(BIN)/python -m pytest $(CHOSEN) $(SLOW) > .venv/slow.log 2>&1 & slow=$$!; \
	$(BIN)/python -m pytest $(CHOSEN) $(addprefix --ignore=,$(SLOW)); others=$$?; \
	wait $$slow; slow=$$?; cat .venv/slow.log; exit $$((slow || others))

docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The site is in site-docs/index.html; with search and reload on change: $(BIN)/mkdocs serve"

# torch goes in by itself first: asked for as another package's need it would bring several gigabytes of CUDA.
.venv/.torch: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "speech-eval needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing PyTorch (CPU)..."
	$(PIP) "torch==2.13.0"
	touch $@

.venv/.demo: .venv/.torch pyproject.toml constraints.txt
	@echo "installing speech-eval and what the demo needs..."
	$(PIP) --editable '.[demo]'
	touch $@

.venv/.dev: .venv/.demo pyproject.toml constraints.txt
	@echo "installing what the tests need..."
	$(PIP) --editable '.[demo,dev]'
	@# mistral-common wants an older NumPy under Python 3.11 than the pinned one, with which it works. The compiled part
	@# of torchaudio is linked to CUDA and keeps all of it from loading beside a CPU torch; its Python part is enough.
	$(PIP) --no-deps mistral-common torchaudio
	rm -f .venv/lib/python3*/site-packages/torchaudio/lib/*.so
	@# Moshi's package asks for older versions of NumPy and others, and runs with these; SpeechBrain asks for torchaudio.
	$(PIP) --no-deps moshi sentencepiece speechbrain
	@# PESQ and ViSQOL are built from source and need a C compiler.
	command -v $(or $(CC),cc) >/dev/null || $(call debian,gcc libc6-dev python3-dev) || true
	$(PIP) --editable '.[codec-metrics,visqol]' || echo "no C compiler: tests of PESQ and ViSQOL will be skipped"
	touch $@

.venv/.docs: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[docs]'
	touch $@

# Tests open the leaderboard's pages in Chromium. A package of the system, so root or the user installs it.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null \
	  || $(call debian,chromium) || echo "no Chromium: tests of the pages will be skipped. As root: apt-get install chromium"

# Install packages of Debian where that is possible: as root, with apt-get.
debian = { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "installing $(1)..." && apt-get update -qq \
  && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $(1) >/dev/null; }

clean:
	rm -rf .venv runs site site-docs build dist src/*.egg-info
