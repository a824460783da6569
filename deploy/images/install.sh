#!/bin/sh
# Installs what one room needs into /venv, pinned by requirements.lock, and takes from it what no room imports.
# Argument: the room's extra in pyproject.toml. TORCH_INDEX: an index of torch builds other than pip's own.
set -eu

# An empty secret is none.
if [ -s /run/secrets/pip_ca ]; then export PIP_CERT=/run/secrets/pip_ca; fi
if [ -s /run/secrets/pip_conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip_conf; fi
install="pip --python /venv/bin/python install --quiet --constraint requirements.lock"

torch=""
case "$1" in
  evaluator | trainer)
    # First, and named again below, so that no other requirement replaces it.
    torch=$(grep '^torch==' requirements.lock)
    $install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$torch"
    ;;
esac
# The metadata alone: the code comes into the image by itself.
mkdir -p proto/gen && touch README.md
$install $torch ".[$1]"

cd /venv/lib/python3.11/site-packages
find . -type d \( -name tests -o -name test -o -name SelfTest \) -not -path './torch/*' -prune -exec rm -rf {} +
find . -type f \( -name '*.py[xi]' -o -name '*.px[di]' -o -name '*.[ac]' \) -not -path './torch/*' -delete
rm -rf numpy/_core/include numpy/distutils tzdata/zoneinfo torch/test Crypto/PublicKey Crypto/Math Crypto/Protocol Crypto/Signature Crypto/IO pydantic/v1 PIL/_avif.* pillow.libs/libavif-* matplotlib/mpl-data/sample_data fontTools/misc/*.so
if [ -d matplotlib ]; then
  # The report's plots are PNG in one typeface, and the one for characters that it lacks.
  find matplotlib/mpl-data/fonts -type f -not -name 'DejaVuSans.ttf' -not -name 'DejaVuSans-Bold.ttf' -not -name 'LastResort*' -delete
  rm -rf mpl_toolkits/axes_grid1 mpl_toolkits/axisartist matplotlib/mpl-data/images matplotlib/backends/web_backend matplotlib/backends/qt_editor matplotlib/testing
  find fontTools -mindepth 1 -maxdepth 1 -type d -not -name '_*' -not -name misc -exec rm -rf {} +
  find pygments/lexers -type f -name '*.py*' -not -name '_*' -not -name 'python*' -not -name 'special*' -delete
fi
if [ -d openai ]; then
  # Chats, embeddings and image edits are called; each other family of the API is loaded by its first use.
  for part in beta admin live realtime evals fine_tuning webhooks conversations audio vector_stores skills containers uploads; do
    rm -rf openai/resources/$part openai/types/$part openai/lib/$part
  done
  /venv/bin/python -c 'from openai import AsyncOpenAI; c = AsyncOpenAI(api_key="-"); c.chat.completions, c.embeddings, c.images, c.models'
fi
if [ -d pyarrow ]; then
  cd pyarrow
  rm -rf include src _flight.* _s3fs.* _gcsfs.* _azurefs.* _hdfs.* _orc.* _dataset_orc.* _substrait.* _pyarrow_cpp_tests.* *_parquet_encryption.* \
    libarrow_flight* libarrow_python_flight* libarrow_python_parquet_encryption* libarrow_s3*
  # The wheel holds each of these three times.
  for library in libarrow_python*.so.????; do
    ln -sf "$library" "${library%.????}"
    for copy in "$library".*; do ln -sf "$library" "$copy"; done
  done
  cd ..
fi
if [ -d scipy ]; then
  # Rooms use scipy.special alone.
  find scipy -mindepth 1 -maxdepth 1 -type d -not -name '_*' -not -name special -exec rm -rf {} +
else
  rm -rf numpy/f2py
fi
