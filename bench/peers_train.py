"""The peers' side of the tokenizer training benchmark: trains on a text file and writes nothing.

peers_train.py bpe|unigram FILE SIZE THREADS: byte-level BPE by Hugging Face tokenizers (Llama-3's pattern) or Unigram by SentencePiece, with
the settings that `lep vocab train` has by default.
"""

import os
import sys
import tempfile

what, path, size, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if what == "bpe":
    os.environ["RAYON_NUM_THREADS"] = str(threads)
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    t.train([path], trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    assert t.get_vocab_size() == size
else:
    import sentencepiece

    with tempfile.TemporaryDirectory() as tmp:
        sentencepiece.SentencePieceTrainer.train(
            input=path, model_prefix=f"{tmp}/m", model_type="unigram", vocab_size=size, num_threads=threads, byte_fallback=True,
            split_digits=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True, max_sentence_length=1 << 20, minloglevel=2,
        )
        assert sentencepiece.SentencePieceProcessor(model_file=f"{tmp}/m.model").get_piece_size() == size
