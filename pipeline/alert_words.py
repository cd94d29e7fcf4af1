"""The sentences of alerts per language; `{…}` are filled with inert text only."""

from __future__ import annotations

from typing import Final, Literal

Language = Literal["en", "ko"]

WORDS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "gate_header": "daygate {day}: {verdict}",
        "gate_found": "{failed} of {of} checks did not pass over {lines} lines. Nothing of this day is published.",
        "gate_quarantined": "{lines} lines are in quarantine.",
        "problem": "Not judged: {problem}",
        "check_failed": "*{name}* {rate} good, {needed} needed: {failed} of {of} lines fail.",
        "check_warning": "*{name}* (warning) {rate} good, {needed} needed: {failed} of {of} lines fail.",
        "check_error": "*{name}* {error}",
        "worst": "Worst rule: {rule} ({count}).",
        "lines": "For example line {lines}.",
        "more": "…and {count} more.",
        "step_header": "daygate {day}: step {step} failed",
        "step_said": "Step {step}, attempt {attempt}: {error}",
        "day_header": "daygate {day}: published",
        "day_figures": "{events} events, {users} users, {purchases} purchases, {revenue} won; "
        "{quarantined} lines in quarantine.",
        "day_warnings": "With a warning: {checks}",
        "released_header": "daygate {day}: released by hand",
        "released_said": "*Released* by {by}, only the good lines: {reason}",
        "released_over": "The gate had blocked this day (run {run}):",
        "late_header": "daygate {day}: late",
        "late_missing": "No complete delivery had landed by {by} for: {days}. A day is run as soon as its file comes.",
        "late_unpublished": "Not published by {by}: {days}. `daygate status` shows what became of them.",
        "late_cut": "Not caught up with, because the service looks back {limit} days only: {days}. "
        "`daygate backfill --start {first} --end {last}` runs them.",
        "footer": "Run {run}",
    },
    "ko": {
        "gate_header": "daygate {day}: {verdict}",
        "gate_found": "{lines}줄을 검사하여 {of}개 검사 중 {failed}개가 통과하지 못했습니다. "
        "이 날짜의 데이터는 공개되지 않습니다.",
        "gate_quarantined": "{lines}줄이 격리되었습니다.",
        "problem": "판정 불가: {problem}",
        "check_failed": "*{name}* 정상 {rate}, 기준 {needed}: {of}줄 중 {failed}줄 실패.",
        "check_warning": "*{name}* (경고) 정상 {rate}, 기준 {needed}: {of}줄 중 {failed}줄 실패.",
        "check_error": "*{name}* {error}",
        "worst": "가장 많이 어긴 규칙: {rule} ({count}줄).",
        "lines": "예: {lines}번째 줄.",
        "more": "…외 {count}개.",
        "step_header": "daygate {day}: {step} 단계 실패",
        "step_said": "{step} 단계, {attempt}번째 시도: {error}",
        "day_header": "daygate {day}: 공개 완료",
        "day_figures": "이벤트 {events}건, 사용자 {users}명, 구매 {purchases}건, 매출 {revenue}원; "
        "격리 {quarantined}줄.",
        "day_warnings": "경고: {checks}",
        "released_header": "daygate {day}: 수동 공개",
        "released_said": "*수동 공개* 승인자 {by}, 정상 줄만 공개: {reason}",
        "released_over": "게이트가 차단했던 날짜입니다 (실행 {run}):",
        "late_header": "daygate {day}: 지연",
        "late_missing": "{by}까지 완전한 파일이 도착하지 않았습니다: {days}. 파일이 도착하면 바로 실행됩니다.",
        "late_unpublished": "{by}까지 공개되지 않았습니다: {days}. `daygate status`로 상태를 확인하세요.",
        "late_cut": "최근 {limit}일만 거슬러 실행하므로 제외된 날짜입니다: {days}. "
        "`daygate backfill --start {first} --end {last}`로 실행할 수 있습니다.",
        "footer": "실행 {run}",
    },
}
