# Two commands for a newcomer: `make demo` and `make test`. Both build .venv from the pinned set first.

PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
CODEC_METRICS := bitrate[measured@1],stoi[pystoi],mel-distance[multi-resolution],mos[distillmos@7],wer[whisper-normalizer]
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test clean
.DELETE_ON_ERROR:

demo: .venv/.demo
	OMP_NUM_THREADS=1 $(BIN)/speech-eval run --model hibari --model espeak-ng --tasks seed-tts,latency --limit 40 --output $(DEMO)
	OMP_NUM_THREADS=1 $(BIN)/speech-eval run --model whisper-tiny.en --tasks asr,latency --limit 40 --output $(DEMO)/whisper-tiny.en
	OMP_NUM_THREADS=1 $(BIN)/speech-eval run --model dac-16k-2k --tasks codec-reconstruction,codec-depth --data asterisk-en@held-out --limit 12 --metrics '$(CODEC_METRICS)' --output $(DEMO)/dac-16k-2k
	OMP_NUM_THREADS=1 $(BIN)/speech-eval run --model opus,bitrate=6000 --tasks codec-reconstruction --data asterisk-en@held-out --limit 12 --metrics '$(CODEC_METRICS)' --output $(DEMO)/opus-6k
	$(BIN)/speech-eval leaderboard build $(DEMO) --output site

test: .venv/.dev
	$(BIN)/python -m pytest

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
	@# PESQ and ViSQOL are built from source; without a C compiler their tests are skipped.
	$(PIP) --editable '.[codec-metrics,visqol]' || echo "no C compiler: the tests of PESQ and ViSQOL will be skipped"
	touch $@

clean:
	rm -rf .venv runs site
