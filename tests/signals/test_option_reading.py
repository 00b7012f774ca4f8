"""Option letters read from right answers and sampled ones, in the styles that explanations are written in."""

import time

import pytest

from dataflex.signals.rewards.option_reading import reference_option, stated_option

ANSWERS = [
    ("B", "B"),
    (" b\n", "B"),
    ("(B)", "B"),
    ('The answer is "B".', "B"),
    ("The answer is `B`.", "B"),
    ("**B**", "B"),
    ("B.", "B"),
    ("B. Paris", "B"),
    ("B) Paris", "B"),
    ("B: Paris", "B"),
    ("B - Paris", "B"),
    ("B, since A is wrong", "B"),
    ("B\nBecause it is.", "B"),
    ("Option B: Paris", "B"),
    ("A. Option B is wrong.", "A"),
    ("B. Paris. A is in Italy and C is in Spain.", "B"),
    ("Answer: B", "B"),
    ("answer: b", "B"),
    ("Answer (B)", "B"),
    ("The answer is B.", "B"),
    ("The correct answer is **(B)** Paris", "B"),
    ("The answer is B because Paris is in France", "B"),
    ("Answer:\n\nB", "B"),
    ("The right option is option B", "B"),
    ("The correct option is B", "B"),
    ("The answer is $B$.", "B"),
    ("A) is wrong, since 2 > 1. Final answer: B", "B"),
    ("A. is wrong, so the answer is B", "B"),
    ("The answer is A? No, the answer is B", "B"),
    ("B cells make antibodies. The answer is (C).", "C"),
    ("B cells make antibodies.\nAnswer: C", "C"),
    ("I think it is (B), not far off", "B"),
    ("It must be C.", "C"),
    (r"$\boxed{B}$", "B"),
    ("So it must be B.", "B"),
    ("答案是B。", "B"),
    ("答案\uff1a\uff08B\uff09", "B"),
    ("选项A错误\uff0c选项B正确\uff0c故选B。", "B"),
    # Options gone through one by one.
    ("A) False: 2 is even. B) True: 3 is odd. So the correct option is B.", "B"),
    ("A: this is wrong. Hence the right choice is (C).", "C"),
    ("(A) would need x>0, which fails. (B) holds. Thus option (B) is correct.", "B"),
    ("A) False.\nB) True.\nC) False.\nD) False.\n\nThe answer is B.", "B"),
    ("A. Too far north.\nB. Fits.\nC. Too far south.\nTherefore, the answer is option B.", "B"),
    ("(A) is too far north. (C) is too far south. Hence (B) Paris.", "B"),
    ("Option A: it fails for x = 0.\nOption B: it holds.\nTherefore, (B).", "B"),
    ("A: this is wrong. B: this fits. It must be B.", "B"),
    ("A fails, so (B) is correct", "B"),
    ("The correct answer is B. Option A is incorrect because x = 0; choice C is wrong too.", "B"),
    ("(B) is correct. (A) and (C) are not.", "B"),
    ("We exclude A and D. Of the rest, option C is the best answer, since it is shorter.", "C"),
    ("It is not A. We therefore choose option (D).", "D"),
    ("(A), (B) and (D) fail, which leaves (C).", "C"),
    ("A, B and D fail. This leaves us with C.", "C"),
    ("Is the answer A? No: x is negative. So we select C.", "C"),
    ("If the answer is A, x is positive, which fails. Thus, B.", "B"),
    ("(A) is correct in part only. The best answer to the question is (C).", "C"),
    ("The choice among these that fits is not A. The correct choice is therefore D, as shown.", "D"),
    # How MMLU's and other chains of thought end.
    ("A: Let's think step by step. 2 + 2 = 4, which is option (C). The answer is (C).", "C"),
    ("Let's think step by step. We refer to Wikipedia on law. The answer is (D).", "D"),
    ("A: Let's think step by step. 2 + 2 = 4. So it is (C)", "C"),
    ("<think>(A) or (C)?</think><answer>B</answer>", "B"),
    ("A: no. <answer>(B) Paris</answer>", "B"),
    ("<answer> B. Paris", "B"),
    (r"(A) fails. Therefore \boxed{\text{(C)}}", "C"),
    (r"x = \boxed{4}, hence (D).", "D"),
    ("A) 3\nB) 4\nSince 2 + 2 = 4:\n#### B", "B"),
    ("Since 2 + 2 = 4:\n\n**B**", "B"),
    ("My reasoning: 4 is even.\nFinal answer: [[D]]", "D"),
    # The text of an option that holds other letters.
    ("B. Vitamin A", "B"),
    ("(C) Both A and B", "C"),
    ("D. Both A and B are correct", "D"),
    ("C. Only A is correct", "C"),
    ("D. Neither A nor B is correct.", "D"),
    ("B. The blood type is A", "B"),
    ("D. A is correct but B is not", "D"),
    ("A. True, False", "A"),
    ("J. All of the above", "J"),
    ("", None),
    ("A dog", None),
    ("I'm not sure", None),
    ("The answer is a dog", None),
    ("It is not B", None),
    ("Either (A) or (B)", None),
    ("The answer is (A) or (B).", None),
    ("The wrong answer is A, since x < 0.", None),
    ("Bordeaux", None),
    ("C-reactive protein", None),
    ("K", None),
    ("A) False: 2 is even. B) True: 3 is odd.", None),
    ("A: this is wrong.", None),
    ("A: Let's think step by step. We refer to Wikipedia.", None),
]

LOOSE = [
    ("B Paris", "B"),
    ("B cells make antibodies.", "B"),
    ("B cells need vitamin A", "B"),
    ("The answer is B cells", "B"),
    ("Rich in vitamin C.", "C"),
]
"""Taken of a sampled answer, and refused as a reference."""


@pytest.mark.parametrize(("text", "option"), ANSWERS)
def test_references_and_sampled_answers_are_read_alike(text: str, option: str | None) -> None:
    assert reference_option(text) == option
    assert stated_option(text) == option


@pytest.mark.parametrize(("text", "option"), LOOSE)
def test_references_are_read_more_strictly_than_answers(text: str, option: str) -> None:
    assert reference_option(text) is None
    assert stated_option(text) == option


@pytest.mark.parametrize("letter", "ABCDEFGHIJ")
@pytest.mark.parametrize(
    "conclusion",
    [
        "The answer is {}.",
        "So the answer is ({}).",
        "Answer: {}",
        "**Final answer:** **{}**",
        "Thus the correct option is ({}).",
        "Hence ({}).",
        "Therefore, option ({}) is correct.",
        "<answer>{}</answer>",
        r"\boxed{{{}}}",
        "答案是{}。",
    ],
)
def test_a_conclusion_counts_whatever_the_options_before_it_begin_with(letter: str, conclusion: str) -> None:
    options = "\n".join(f"{one}) is {one == letter}: see above." for one in "ABCDEFGHIJ")
    for before in (options, "(A) fails. (B) holds.", "A: no.", "Let us see.", ""):
        text = f"{before}\n{conclusion.format(letter)}"
        assert reference_option(text) == stated_option(text) == letter


@pytest.mark.parametrize("junk", ["<answer>", r"\boxed{", "so it is the ", "_*", "\n", "(A) ", "is  "])
def test_a_model_that_repeats_itself_is_read_in_no_time(junk: str) -> None:
    started = time.perf_counter()
    stated_option(junk * 2000)
    assert time.perf_counter() - started < 2
