"""How other libraries load a pushed model: three lines each, which give the vectors of the encoder contract."""

from embedtune.core.contract import EncoderContract

LIBRARIES = {
    "sentence-transformers": """\
from sentence_transformers import SentenceTransformer
model = SentenceTransformer({model!r})
queries, passages = model.encode_query(["…"]), model.encode_document(["…"])
""",
    "LangChain": """\
from langchain_huggingface import HuggingFaceEmbeddings
names = {{"encode_kwargs": {{"prompt_name": "document"}}, "query_encode_kwargs": {{"prompt_name": "query"}}}}
embeddings = HuggingFaceEmbeddings(model_name={model!r}, **names)
""",
    "LlamaIndex": """\
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
prefixes = {{"query_instruction": {query!r}, "text_instruction": {passage!r}}}
embedding = HuggingFaceEmbedding(model_name={model!r}, **prefixes)
""",
}


def how_to_load(contract: EncoderContract, model: str) -> dict[str, str]:
    """Return Python code by library.

    Args:
        contract: The model's; LlamaIndex has to be told its prefixes, the others read them from the model.
        model: Repository of the Hub, or a directory.
    """
    fields = {"model": model, "query": contract.query_prefix, "passage": contract.passage_prefix}
    return {name: code.format(**fields) for name, code in LIBRARIES.items()}


def loading_section(contract: EncoderContract, model: str) -> str:
    """Return the section of a model card that shows it."""
    blocks = [f"{name}:\n\n```python\n{code}```\n" for name, code in how_to_load(contract, model).items()]
    return "\n".join(["\n## Load\n", *blocks])
