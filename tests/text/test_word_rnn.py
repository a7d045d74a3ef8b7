"""The bi-LSTM over words: sizes, padding, order, and what it refuses."""

import pytest
import torch
from torch import nn

from t2i_course.text.word_rnn import Config, WordRNN
from t2i_course.text.words import encode

WORDS = ("a", "beak", "bird", "flower", "red", "with", "yellow")
TEXTS = ["a red bird with a yellow beak", "a flower", "a yellow bird"]


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return WordRNN(Config(1 + len(WORDS), embedding=12, dim=16)).eval()


@pytest.mark.parametrize(("words", "parameters"), [(5_450, 2_075_320), (27_297, 8_629_420)], ids=["birds", "MS-COCO"])
def test_published_sizes(words, parameters):
    with torch.device("meta"):
        encoder = WordRNN(Config(words))
    assert sum(p.numel() for p in encoder.parameters()) == parameters


def test_each_caption_is_read_as_if_it_were_alone(encoder):
    """Neither the padding, nor its length, nor the order of the batch matters."""
    tokens, lengths = encode(TEXTS, WORDS, length=10)
    words, sentences = encoder(tokens, lengths)
    assert words.shape == (3, 10, 16)
    assert sentences.shape == (3, 16)
    for i, text in enumerate(TEXTS):
        alone_words, alone_sentence = encoder(*encode([text], WORDS))
        n = int(lengths[i])
        torch.testing.assert_close(words[i, :n], alone_words[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(sentences[i], alone_sentence[0], atol=1e-6, rtol=0)
        assert not words[i, n:].any()


def test_it_is_two_lstms_one_of_which_reads_backwards(encoder):
    """Two plain LSTMs with its weights, one of them on the words turned round."""
    tokens, lengths = encode(TEXTS[:1], WORDS)
    x = encoder.embed(tokens)
    halves = []
    for ending, inputs in (("", x), ("_reverse", x.flip(1))):
        one = nn.LSTM(12, 8, batch_first=True)
        one.load_state_dict({name: getattr(encoder.lstm, name + ending) for name in one.state_dict()})
        halves.append(one(inputs)[0])
    forwards, backwards = halves
    words, sentence = encoder(tokens, lengths)
    torch.testing.assert_close(words, torch.cat([forwards, backwards.flip(1)], -1), atol=1e-6, rtol=0)
    torch.testing.assert_close(sentence, torch.cat([forwards[:, -1], backwards[:, -1]], -1), atol=1e-6, rtol=0)


def test_the_same_word_means_another_thing_elsewhere(encoder):
    """What attention over words needs: "a" before "red" is another vector than "a" before "yellow"."""
    words, _ = encoder(*encode(["a red bird with a yellow beak"], WORDS))
    assert not torch.allclose(words[0, 0], words[0, 4], atol=1e-3)


def test_every_weight_learns(encoder):
    words, sentences = encoder.train()(*encode(TEXTS, WORDS))
    (words.square().sum() + sentences.square().sum()).backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


def test_a_length_that_counts_padding_is_refused(encoder):
    tokens, lengths = encode(TEXTS, WORDS)
    with pytest.raises(ValueError, match="shorter than its length says"):
        encoder(tokens, lengths.fill_(7))
