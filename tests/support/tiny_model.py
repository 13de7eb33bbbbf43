"""Tiny randomly initialised models, built at run time: real architectures and tokenizers, no download."""

from pathlib import Path

from embedtune.core.contract import EncoderContract

TINY_DIMENSION = 32
_PIECES = (  # noqa: SIM905 - a list of a hundred literals is harder to read
    "the a an of to and in is it for on with as at by be or from that this are was not if when which what how "
    "press kiln drum valve pump seal hoist chain rope cutter knife pin belt brine water steam gas oil grease "
    "alarm code limit torque pressure temperature speed time hour day shift grade lot tag store dry wash cut "
    "press land pack stop start check clean replace open close read set high low hot cold wet new old red blue"
).split()


def make_tiny_model(path: Path, seed: int = 0) -> Path:
    """Write a BERT of 2 layers and 32 dimensions with a WordPiece tokenizer; every Latin text can be tokenized.

    Returns:
        `path`, a transformers directory with safetensors weights (at most 256 tokens per text).
    """
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = wordpiece_tokenizer(256)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=TINY_DIMENSION,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        initializer_range=0.2,  # with BERT's 0.02 an untrained model finds all texts nearly equal
    )
    BertModel(config).save_pretrained(path, safe_serialization=True)
    tokenizer.save_pretrained(path)
    return path


def make_tiny_llama(path: Path, seed: int = 0, *, bidirectional: bool = True) -> Path:
    """Write a Llama of 2 layers and 32 dimensions, for tests of decoders.

    Args:
        path: Directory to write the model to.
        seed: Seed of the random weights.
        bidirectional: Each token also attends to those after it, as in embedding models of the Llama type. A
            causal model is only accepted with the last token's vector.
    """
    import torch
    from transformers import LlamaConfig, LlamaModel

    tokenizer = wordpiece_tokenizer(256)
    torch.manual_seed(seed)
    # Only a checkpoint without the causal mask says so; one that says `true` was meant to be causal.
    flag = {"is_causal": False} if bidirectional else {}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=TINY_DIMENSION,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.2,
        **flag,
    )
    LlamaModel(config).save_pretrained(path, safe_serialization=True)
    tokenizer.save_pretrained(path)
    return path


def tiny_contract(path: Path, dimensions: tuple[int, ...] = (TINY_DIMENSION,)) -> EncoderContract:
    """Return the contract of a tiny model: 64 tokens, prefixes, mean pooling."""
    return EncoderContract(
        base_model=str(path),
        query_prefix="query: ",
        passage_prefix="passage: ",
        max_length=64,
        dimensions=dimensions,
    )


def wordpiece_tokenizer(max_length: int, template: str = "[CLS] $A [SEP]"):
    """Return a WordPiece tokenizer with a small vocabulary; `template` adds its special tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]
    vocabulary += [f"##{character}" for character in characters]
    vocabulary += [f"##{a}{b}" for a in "aeiou" for b in "bcdfglmnprst"]
    vocabulary += [f"{a}{b}" for a in "bcdfghlmnprst" for b in "aeiou"]
    vocabulary += sorted(set(_PIECES) - set(vocabulary))
    ids = {piece: number for number, piece in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=200))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template,
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def stored_in(path: Path, dtype: str) -> Path:
    """Store the weights of a tiny model in another format, as its config.json then says.

    Args:
        path: A transformers directory.
        dtype: PyTorch's name, such as "bfloat16".

    Returns:
        `path`.
    """
    import torch
    from transformers import AutoModel

    AutoModel.from_pretrained(path).to(getattr(torch, dtype)).save_pretrained(path)
    return path
