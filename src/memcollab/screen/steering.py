"""Words that steer the reader instead of telling it something: marks of who speaks, and orders.

The patterns describe kinds of order (to set aside what was said, to be somebody else, to give
something away, to deceive, to do harm), not known attack texts. What they cannot see is stated in
design/screening.md: a harmful lesson in the innocent form of a lesson passes here, and is for
quarantine and evidence.
"""

from __future__ import annotations

import re
import unicodedata

from memcollab.screen.lexicon import WELL_KNOWN
from memcollab.screen.reading import Reading, at_word, either, skeleton
from memcollab.screen.source import SourceText

_ROLES = "system|assistant|user|human|developer|tool|function|ai|bot|model|agent|operator|admin"
_ROLE = either(
    r"<\|[^|>]{0,40}\|?>|\|>|<\|",
    r"\[\s?/?\s?(?:inst|sys|system|user|assistant|tool_calls?|available_tools)\s?\]",
    r"<<\s?/?sys\s?>>|</?s>",
    r"<\s?/?\s?(?:start_of_turn|end_of_turn|bos|eos|pad|begin_of_text|end_of_text)\s?>",
    rf"<\s?/?\s?(?:{_ROLES}|function_calls?|invoke|parameter|tool_\w+|instructions?|prompt|context|"
    r"memory|guidance|memcollab[\w-]*|antml:\w+|thinking|message|conversation)\b[^<>]*>",
    r"\b(?:system|assistant|human|developer)\s?:(?!\w)",
    rf"(?:^|[.;:!?\"')\]>|] ?)(?:{_ROLES}|observation|thought|action(?: input)?|final answer|"
    r"instructions?|prompt|input|output|response|question|answer)\s?:",
    r"#{1,6} ?(?:instructions?|response|input|output|system|user|assistant|human|task|context)\b",
    r"\b(?:begin|start|end) of (?:the )?(?:system|user|assistant|hidden) ?(?:prompt|message|turn)",
    r"\{(?:\"|')?role(?:\"|')?\s?:",
    flags=re.I,
)


def role_markers(reading: Reading, _source: SourceText) -> str | None:
    """Marks with which chat templates and prompts separate who speaks."""
    for text in (reading.lower, *reading.disguised):
        match = _ROLE.search(text)
        if match:
            return match[0].strip(" .;:")
    return None


_SET_ASIDE = (
    r"(?:ignor|disregard|forget|bypass|overrid|overrul|neglect|discard|dismiss|set(?:ting)? aside|"
    r"violat|pay no heed|break|disobey|circumvent|defy|do not follow|don't follow|stop following|"
    r"no longer follow(?:ing)?|drop|skip|reject|refus)(?:e|es|ing|ting|ping|ten)?(?: to)?"
)
_ORDERS = (
    r"(?:instr|prompt|guideline|direction|command|directive|orders|message|rule|polic|context|"
    r"constraint|advice|guidance|restriction|request|task|convers|lesson|memor)\w*"
)
_EARLIER = (
    r"(?:prev(?:ious)?\.?|prior|earlier|above|preceding|foregoing|system|your|everything|all other|"
    r"any other|the other|other|developer'?s?|operator'?s?)"
)
_PEOPLE = r"(?:user|users|human|humans|reader|customer|operator|owner|person|anyone|anybody)"
_HIDDEN_TEXT = r"(?:system prompt|system message|(?:hidden|initial) (?:prompt|instructions?))"
_PRIVATE = (
    r"(?:credentials?|passwords?|secrets?|api keys?|private keys?|vault'?s? contents?|"
    r"contents of the vault|environment variables?|personal data|conversation|chat history)"
)

# What a reader was told by those entitled to tell it, and what is harmful to do, are things to warn
# of: these patterns spare the part "avoid".
_TOLD = (
    r"(?:instr(?:uction|\.|\b)|prompts?\b|guidance|guidelines|polic(?:y|ies)|directives?|safety)"
)
_GUARDS = (
    r"(?:safeguards?|guardrails?|guards?|safety|security|protections?|filters?|authentication|"
    r"authori[sz]ation|sandbox\w*|logging|audit\w*|certificates?|encryption|moderation|approvals?)"
)
_BELONGINGS = (
    r"(?:files?|data|records?|tables?|databases?|customers?|orders?|invoices?|backups?|users?|"
    r"logs?|accounts?|bookings?|subscriptions?|memor\w+)"
)
_DISOBEYING = at_word(
    rf"{_SET_ASIDE}\b.{{0,30}}?\b{_TOLD}",
    rf"{_SET_ASIDE} (?:the|this|that|every|any) (?:question|task|problem|request)\b(?!')",
    rf"{_TOLD}.{{0,30}}?\b(?:void|invalid|obsolete|cancelled|revoked|not apply|no longer|optional|"
    r"superseded|irrelevant|lifted|suspended|does not bind|do not bind|opposite)\b",
    r"(?:what|whatever|everything|anything) (?:the )?(?:system|operator|developer|prompt|user) "
    r"(?:told|said|says|wrote|stated|asked|demanded)",
    r"(?:obey|follow|act|execut|carry|comply|treat|accept)(?:e|ing)?\b.{0,40}?"
    r"\b(?:commands?|orders|instructions?|directives?)\b.{0,20}?"
    r"\b(?:in|from|inside|within|found|embedded|contained|to be)\b",
    r"(?:stop|cease|abandon|do not|don't|never|instead of|refus(?:e|ing) to|without) "
    r"(?:solv|follow|attempt|complet|answer|do)(?:e|ing)? (?:the|this|any) "
    r"(?:task|problem|question)",
    r"stop(?:ping)? (?:here|now|solving|working|immediately)\b",
    r"without (?:question|hesitation|asking|consent|permission|approval|confirmation)\b",
    r"(?:quietly|secretly|covertly|stealthily|unnoticed)\b",
    r"hidden (?:links?|pixels?|commands?|texts?)\b",
    r"claim(?:s|ing)? to (?:be|come)\b|(?:over|above) the (?:prompt|system|instructions)",
    r"(?:assum|tak|play)(?:e|ing) the (?:role|identity|privileges|persona) of",
    r"(?:act|go|work)(?:ing)? against (?:the |any |all )?(?:earlier|previous|prior|other|given)\b",
    r"comply(?:ing)? with (?:any|every|all|whatever)\b|then obey\b|never (?:to )?refus(?:e|ing)\b",
    r"(?:forget|disregard|ignore)\b.{0,10}\bthen\b",
    r"(?:this|these) (?:text|notes?|lessons?|messages?|sentences?|memor\w+|entr(?:y|ies))\b",
    r"(?:rais|escalat|unlock|elevat)(?:e|ing) (?:\w+ )?(?:privileges?|rights|abilities|permission)",
    r"(?:run|execut|launch|open)(?:e|ing|ning)? the (?:attached|linked|enclosed|embedded) ",
    r"(?:telling|tell|informing|inform) (?:nobody|no one|noone|everybody|everyone)\b",
    r"(?:end|start|beginning) of (?:each|every|any) (?:reply|response|message|answer)\b",
    r"mark(?:ing)? \w+ (?:\w+ )?as (?:solved|done|complete|passed) without\b",
    r"disabl(?:e|ing) (?:the |all |any )?(?:unit )?(?:tests?|checks?|assertions?|verification)\b",
    r"(?:invent|fabricat|forg|fak)(?:e|ing) (?:an? |the )?(?:citation|source|result|reference|log)",
)
_HARMFUL = at_word(
    r"(?:print|log|copy|writ|past|send|post|upload|shar|hand|encod|leak|reveal|e-?mail|includ|embed|"
    rf"append|forward|output|publish)(?:e|s|ing|ting)?\b.{{0,30}}?\b{_PRIVATE}"
    r"(?!.{0,30}\b(?:header|authorization))",
    r"(?:upload|post|send|forward|publish|push|transmit|leak)(?:e|ing)?\b.{0,40}?"
    r"\b(?:to|on|in) (?:an? |the |some )?"
    r"(?:pastebin|gist|public|external|remote|third|outside|foreign|webhook|urls?\b)",
    r"(?:wip|format|destroy|eras)(?:e|ing|ting)? (?:the |a )?(?:disk|drive|machine|server)\b",
    r"exfiltrat\w*|backdoor\w*|malware|ransom\w*|phish\w*",
    r"(?:disabl|turn(?:ing)? off|switch(?:ing)? off|bypass|circumvent|skip|weaken|remov|overrul|"
    r"evad|defeat|relax|strip|lift|ignor)(?:e|es|ing|ping)? (?:the |all |any |every |each )*"
    rf"{_GUARDS}\b",
    r"(?:delet|remov|eras|wip|destroy|truncat|purg|overwrit)(?:e|ing)? "
    rf"(?:all|every|everything|any|the entire)(?: the| of| other)* ?{_BELONGINGS}\b",
    r"(?:delet|remov|eras|cancel|refund|clos|terminat|deactivat|wip|purg)\w*\b.{0,25}?"
    rf"\b(?:all|every|each|everything|entire)\b.{{0,15}}?\b{_BELONGINGS}\b",
    r"(?:hardcod|hard-cod|special-cas|memoriz|memoris)(?:e|ing)? the "
    r"(?:expected|test|final|correct|reference|gold) (?:output|answer|result|value|case)",
    rf"{_SET_ASIDE} (?:the |all |any )*(?:safety|security|ethic|legal|law|content)",
)

_SETTING_ASIDE = (
    rf"{_SET_ASIDE}\b(?: \w+){{0,3}}? {_EARLIER}(?: \w+){{0,3}}? {_ORDERS}",
    rf"{_SET_ASIDE} (?:all|any|everything|what)\b(?: \w+){{0,3}}? "
    r"(?:above|before|previous(?:ly)?|prior|said|told|written)",
    rf"{_SET_ASIDE}(?: all| any| every)?(?: of)? (?:the |these |those |this |its |their |given |"
    r"original |initial |existing )*(?:instructions?|prompts?|guidelines|system message|safety)",
    r"(?:regardless|irrespective|independent(?:ly)?) of (?:the |what |any |your |whatever )*"
    r"(?:question|task|problem|prompt|request|instruct|user)",
    r"instead of (?:doing|solving|answering|following|completing) (?:the|this|any|your|what) "
    r"(?:task|question|problem|instruct|request|user)",
    r"(?:this|these|the following) (?:memor\w+|guidance|constraints?|lessons?|advice|notes?|"
    r"entr\w+)\b.{0,30}\b(?:overrid|supersed|replac|takes? precedence|trump|cancel)",
    r"(?:overrid|supersed|takes? precedence over|trump)(?:e|es|ing|s)? (?:the |all |any |every "
    r"|other )*(?:instruct|rules?\b|prompts?|guideline|system|user|safety)",
    r"end of (?:the )?(?:prompt|instructions?|context|guidance|advice|lessons?|constraints?|mem)",
    r"new (?:instructions?|directives?|orders?|task) ?:",
)
_ANOTHER_SELF = (
    r"from now on\b|henceforth\b|jailbreak|do anything now\b",
    r"(?:god|debug|developer|dan|unrestricted|maintenance) mode\b",
    r"you(?:'re| are) (?:now|no longer|an? |the (?!same)|not (?:an?|bound|allowed)|free|my\b|"
    r"in (?:developer|debug|god|admin)|acting|being|unrestricted|to (?:ignore|obey|act|play))",
    r"you (?:must|shall|should|have to|need to|ought to|are required to)\b",
    r"you (?:will|are to|can|may) (?:always|"
    r"never|now|not|only|immediately|ignore|answer|respond|say|reply|output|obey|follow|comply|"
    r"reveal|send|call|choose|print|tell|forget|do)\b",
    r"your (?:instruct|prompt|system|guideline|rules?\b|owner|developer|creator|training|"
    r"programming|safety|restriction|role\b|persona|identity|memor|context|operator|master|maker|"
    r"(?:true |real |only )purpose)",
    r"as an? (?:ai|assistant|language model|large language model|llm|chatbot|bot)\b",
    r"(?:i am|i'm|we are) (?:an?|the|your) \w+|i (?:want|need|order|command|ask) you\b",
    r"(?:act|behave|respond|speak|pose)(?:ing)? as (?:if you|my\b|the (?:system|admin\w*|user|"
    r"developer)|an? (?:ai|assistant|system|admin\w*|developer|root|hacker|expert|user|different|"
    r"new|unrestricted))",
    r"pretend(?:ing)? (?:to be|you|that you|not to)\b|role-?play",
    r"(?:my|our) (?:instructions?|orders?|commands?|website|server|link|channel)\b",
    r"obey(?:ing)? (?:me|my|all|any|every|the|this|these)\b",
    r"do (?:exactly )?(?:as|what) (?:i|we)\b",
    r"(?:the|any|every|an?) (?:assistant|ai|bot|chatbot|llm) (?:should|must|shall|will|is to)\b",
    r"(?:system|admin\w*|developer|security) (?:note|notice|alert|override|command|directive)\b",
    r"(?:attention|important|urgent|warning|critical|admin(?:istrator)? note|override) ?[:!]",
)
_GIVING_AWAY = (
    r"(?:reveal|disclos|leak|divulg|expos|print|show|repeat|output|display|shar|quot|dump|recit)"
    rf"(?:e|es|ing|ting)?\b.{{0,30}}\b(?:{_HIDDEN_TEXT}|{_PRIVATE}|chain of thought|the prompt\b|"
    r"hidden \w+|full transcript)",
    r"(?:send|post|upload|forward|e-?mail|transmit|exfiltrat|leak|submit|deliver|copy|report)"
    rf"(?:e|es|ing|ting)?\b.{{0,40}}\b(?:{_PRIVATE}|{_HIDDEN_TEXT}|conversation|chat history|"
    r"environment variables?|personal data)\b.{0,30}\b(?:to|at|via) (?:an? |the |this |my |our )?"
    r"(?:external|remote|following|address|server|webhook|attacker|third|me\b|us\b|outside|public|"
    r"e-?mail|url|site)",
    r"ask(?:ing)? (?:the |your )?(?:user|human|person|customer) (?:for|to) (?:\w+ ){0,3}?"
    r"(?:password|credential|secret|card|pin|key|token|account|ssn|address)",
    r"(?:visit|open|browse|navigate to|go to|click|download|fetch|follow) (?:on )?"
    r"(?:this|the following|our|my|these) (?:link|site|page|url|address|file|website)",
    r"(?:run|execute|invoke|launch|paste|perform|carry out)(?:ing)? (?:this|these|the following|"
    r"whatever|any) (?:command|code|script|instruct|order|tool|text|action)",
    r"(?:decode|decrypt|deobfuscate|unpack|translate)\b.{0,30}\b(?:and|then) "
    r"(?:run|execut|follow|obey|do\b|perform)",
    r"(?:grant|giv|assign|escalat)(?:e|ing)?\b.{0,20}\b(?:admin\w*|root|superuser|owner) "
    r"(?:rights?|access|role|privileges?|permissions?)",
    r"(?:transfer|wir|send|pay)(?:ring|ing|e)?\b.{0,20}\b(?:money|funds|bitcoin|crypto\w*|"
    r"payments?)\b.{0,20}\bto\b",
)
_DECEIVING = (
    r"(?:tell|telling|inform(?:ing)?|convinc(?:e|ing)|persuad(?:e|ing)|instruct(?:ing)?|"
    r"advis(?:e|ing)|deceiv(?:e|ing)|mislead(?:ing)?|manipulat(?:e|ing)|trick(?:ing)?|urg(?:e|ing)|"
    rf"notify(?:ing)?|warn(?:ing)?) (?:the |your |any |every )?{_PEOPLE}\b",
    r"(?:without|never|not|avoid|don't|do not) (?:telling|informing|notifying|alerting|warning|"
    rf"mentioning|tell|inform|notify|alert|warn)(?:ing)?\b.{{0,20}}\b{_PEOPLE}\b",
)
_QUOTING = (
    r"(?:(?:with|by|only|exactly|just|the|word|words|phrase|string|letter|text|option|an?) )*"
)
_FIXED_ANSWERS = (
    r"answer (?:is|=) (?:always|simply|just|exactly)\b",
    r"answer(?:ing)? (?:every|each|all|any) (?:questions?|tasks?|requests?|problems?) (?:with|by) "
    r"(?:the )?(?:same\b|letter|option|word|[b-e]\b|yes\b|no\b|true\b|false\b|\d)",
    r"(?:answer|reply|response|output|result)s? (?:should|must|shall|will|has to|have to) "
    r"(?:always )?(?:be|say|read|equal) (?:[\"'\d]|always)",
    r"(?:say|saying|claim|claiming|state|stating|pretend|pretending) (?:that )?(?:you|it|i|we) "
    r"(?:can|cannot|can't|are|am|have|do|don't|is|was)\b",
    r"\d[\d.]* as (?:the |a )?(?:final |correct )?(?:answer|result|solution|output)\b",
    r"(?:repeat|print|quot|recit|output|copy)(?:e|ing)? (?:\w+ ){0,4}above\b",
    r"(?:reply|respond|answer)(?:ing)? (?:only|just|solely|exactly|nothing but)\b"
    r"(?! (?:after|when|if|once|from|what|in|where))",
    r"(?:always|just|simply|only|immediately|directly) (?:answer|respond|reply|say)(?:ing)?\b"
    r"(?! (?:after|when|if|once|from|what|in|where))",
    r"(?:answer|respond|reply|say|output|print|submit|write|emit|type)(?:t?ing|s)? "
    rf"{_QUOTING}[\"'][^\"']{{1,80}}[\"']",
    r"(?:choos|pick|select|answer|option|choice|prefer)(?:e|ing|s)?"
    r"(?: (?:the|option|answer|choice|letter|always|is|with))* \(?[b-e]\)?(?= ?(?:[.;,!]|$))",
)
_STEERING = at_word(*_SETTING_ASIDE, *_ANOTHER_SELF, *_GIVING_AWAY, *_DECEIVING, *_FIXED_ANSWERS)
# What is unmistakable without its place in a sentence.
_SPLIT = at_word(*_SETTING_ASIDE, *_ANOTHER_SELF[:3], *_GIVING_AWAY[:2])
# Words to whoever reads, in place of words about a task.
_SELF = r"(?:model|agent|assistant|ai|llm|bot|reader|solver)s?"
_ADDRESSED = at_word(
    r"(?:dear|hey|hello|hi|attention|listen|note to|memo to|message (?:to|for)) "
    rf"(?:the |this |any |every |all |fellow |whichever )?(?:\w+ )?{_SELF}(?= ?[,:;!.-])",
    rf"(?:whoever|whichever {_SELF}|any {_SELF} that|the {_SELF} (?:who|that|which)|{_SELF} that) "
    r"(?:is |are )?(?:reads?|reading|sees?|seeing|receives?|receiving|gets?|recalls?|processes)\b",
    r"(?:if|when|while|once|since) you (?:are |can )?"
    r"(?:read|see|receive|recall|retrieve|process|find)(?:ing)? (?:this|these)\b",
    r"reading this\b|you,? (?:the|dear) (?:model|agent|assistant|ai|reader)",
)
# To warn of doing right is to order the opposite.
_INVERTED = at_word(
    r"(?:follow|obey|heed|respect|honou?r|comply(?:ing)? with|adher(?:e|ing) to|trust|"
    r"keep(?:ing)? to|listen(?:ing)? to|mind)(?:ing)? "
    r"(?:the |your |any |all |every |these |those |its |their )*"
    r"(?:previous|prior|earlier|system|operator|developer|original|initial|safety|other|given|above)"
    r"(?:'s)? ?(?:\w+ )?(?:instruct|prompt|guideline|polic|directive|rules?\b|restriction|message)",
    r"(?:keep|protect|withhold|hid|conceal|mask|redact)(?:e|ing)? (?:the |your |any |all )*"
    rf"{_PRIVATE}",
    r"(?<!.)refus(?:e|ing|als?)$|refus(?:e|ing|als?) (?:to (?:reveal|share|obey|comply)|harmful|"
    r"unsafe|such|orders|requests)\b",
    r"ask(?:ing)? (?:for |the user for |anyone for )?(?:permission|consent|authori[sz]ation)\b",
    r"(?:enabl|us|respect|keep|apply|obey)(?:e|ing)? (?:the |all |any )*"
    r"(?:safeguards?|guardrails?|safety|security|authentication|encryption|moderation|sandbox\w*)\b",
)
_BARE_ORDER = re.compile(
    r"(?:^|[.;:,!] ?)(?:please |now |then |and )*"
    r"(?:output|give|tell me|reveal|provide|print|submit) (?:only |just )?the "
    r"(?:final |correct |right |true )?(?:answer|solution)\b"
    r"(?: (?:directly|immediately|now|without|at once|as|:)| ?(?:;|$|\.))"
)

_SHOUTED = re.compile(  # matched with case, which tells a letter or a slogan from a word
    r"\b(?i:answer|choos|pick|select|mark)\w* (?i:every|all|each|any)\b.{0,40}"
    r" (?i:with|as) ([A-E])\b|"
    r"\b(?i:repl(?:y|ying|ies)|respond(?:ing)?|answer(?:ing)?|say(?:ing)?|output(?:ting)?)\b"
    r"(?i: (?:only|just|with|by|the|word|phrase|text|exactly|a|an|single)){1,6} ([A-Z]{3,})\b"
)
# A harness's rules may speak of the user whom the agent serves; a lesson for any task may not.
_THE_CONVERSATION = re.compile(
    r"\bthe (?:user|human|operator|reader) (?:asks?|says?|wants?|requests?|will|must|should|needs?|"
    r"is|has|told|expects?|would)\b|\bsystem (?:prompt|message)\b|\bthe conversation\b"
)
# The same kinds of order in other languages: to set aside what was said, to be somebody else, to
# give away the prompt. Matched in their own alphabets.
_IN_OTHER_LANGUAGES = (
    r"(?:ignorier|missacht|vergiss|vergess|übergeh)\w*.{0,40}"
    r"(?:anweisung|anleitung|vorgabe|regeln|aufforderung|prompt)",
    r"\bdu bist (?:jetzt|nun|ab jetzt|ein|kein)\b|\btu so,? als\b|systemprompt|systemnachricht",
    r"(?:ignor|oubli|néglig|negli|fais abstraction|ne tiens? pas compte)\w*.{0,40}"
    r"(?:instruction|consigne|directive|règle)",
    r"\b(?:tu es|vous êtes) (?:maintenant|désormais|un|une)\b",
    r"(?:ignor|olvid|desobedec|descart)\w*.{0,40}"
    r"(?:instruccion|indicacion|orden|regla|instruç|orienta|regra|ordens)",
    r"\b(?:ahora eres|eres (?:un|una|ahora)|você é agora|agora você é)\b",
    r"(?:ignora|dimentica|trascura)\w*.{0,40}(?:istruzion|indicazion|regol|ordini)",
    r"\b(?:ora sei|sei (?:un|una|ora))\b",
    r"(?:negeer|vergeet)\w*.{0,40}(?:instructie|aanwijzing|opdracht|regels)|\bje bent nu\b",
    r"(?:zignoruj|ignoruj|zapomnij)\w*.{0,40}(?:instrukcj|polece|zasad)|\bjesteś teraz\b",
    r"(?:игнорир|проигнорир|забудь|забыть|не обращай|отмени)\w*.{0,40}"
    r"(?:инструкц|указани|правил|команд|подсказ)",
    r"\bты (?:теперь|больше не)\b|системн\w+ (?:промпт|подсказ|сообщени)",
    r"(?:ігнор|проігнор|забудь)\w*.{0,40}(?:інструкц|вказів|правил)",
    r"(?:忽略|无视|無視|忘记|忘記|不要理会|不要理會|跳过|绕过).{0,16}"
    r"(?:指令|指示|说明|說明|提示|规则|規則|要求|命令)",
    r"你(?:现在|現在)是|你是一[个個名位]|从现在起|從現在起|系统提示|系統提示",
    r"(?:指示|命令|指令|ルール).{0,8}(?:無視|忘れ)|あなたは(?:今|もう)|システムプロンプト",
    r"(?:지시|명령|규칙|지침).{0,8}(?:무시|잊)|당신은 이제|시스템 프롬프트",
    r"(?:تجاهل|انس).{0,30}(?:التعليمات|الأوامر|القواعد)|أنت الآن",
    r"(?:निर्देश|आदेश|नियम).{0,30}(?:अनदेखा|भूल|नज़रअंदाज़)|(?:अनदेखा|भूल).{0,30}(?:निर्देश|आदेश|नियम)",
    r"(?:talimat|yönerge|kural|komut).{0,20}(?:yok say|unut|görmezden)",
    r"(?:abaikan|lupakan).{0,30}(?:instruksi|perintah|aturan)",
    r"(?:bỏ qua|quên).{0,30}(?:hướng dẫn|chỉ thị|lệnh)",
    r"(?:ignorera|bortse från|glöm|ignorér|ignorer|glem|se bort fra).{0,40}"
    r"(?:instruktion|anvisning|instruks|regler|befaling|prompt)",
    r"(?:jätä huomiotta|unohda|sivuuta|älä noudata).{0,40}(?:ohje|määräy|sään)|"
    r"(?:ohje|määräy|sään)\w*.{0,30}huomiotta",
    r"(?:ignoruj|zapomeň|nedbej|opomiň|zabudni)\w*.{0,40}(?:pokyn|instrukc|pravid|příkaz|príkaz)",
    r"(?:hagyd figyelmen kívül|felejtsd el|ne vedd figyelembe).{0,40}(?:utasítás|szabály|parancs)|"
    r"(?:utasítás|szabály|parancs)\w*.{0,30}figyelmen kívül",
    r"(?:ignoră|uită|nesocote|nu lua în seamă)\w*.{0,40}(?:instrucți|regul|ordin|indicați)",
    r"(?:zanemari|ignoriraj|zaboravi|prezri)\w*.{0,40}(?:uput|instrukcij|pravil|naredb|navodil)",
    r"(?:игнорирай|забрави|занемари|игнориши|пренебрегни).{0,40}(?:инструкци|указани|правил|упутств)",
    r"(?:αγν[οό]ησ|ξέχασ|παράβλεψ|αψήφησ)\w*.{0,40}(?:οδηγί|εντολ|κανόν)",
    r"(?:התעלם|התעלמ|שכח|תתעלם).{0,40}(?:הוראות|ההנחיות|הנחיות|הכללים|הפקודות|כללים)",
    r"(?:نادیده|فراموش|نظر ?انداز).{0,30}(?:دستور|قوانین|ہدایات|احکام)|"
    r"(?:دستور|قوانین|ہدایات|احکام).{0,30}(?:نادیده|فراموش|نظر ?انداز)",
    r"(?:เพิกเฉย|ละเว้น|ลืม|ไม่ต้องสนใจ).{0,30}(?:คำสั่ง|คำแนะนำ|กฎ)",
    r"(?:নির্দেশ|নিয়ম|আদেশ).{0,30}(?:উপেক্ষা|ভুলে)|(?:উপেক্ষা|ভুলে).{0,30}(?:নির্দেশ|নিয়ম|আদেশ)",
    r"(?:huwag pansinin|balewalain|kalimutan).{0,40}(?:tagubilin|utos|patakaran|panuto)",
    r"(?:puuza|sahau|usifuate).{0,30}(?:maagizo|maelekezo|sheria|amri)",
    r"(?:அறிவுறுத்தல்|வழிமுறை|விதி|கட்டளை).{0,30}(?:புறக்கணி|மற)",
    r"(?:ignora|oblida|descarta)\w*.{0,40}(?:instruccion|indicacion|ordre|regl)",
    r"(?:abaikan|lupakan|jangan ikut).{0,30}(?:arahan|peraturan)",
    r"(?:ignoru|forgesu|malatentu).{0,30}(?:instrukci|ordon|regul)",
)
# Spelled as the texts are that they are compared with: NFKC takes some letters apart.
_OTHER_LANGUAGES = either(*(unicodedata.normalize("NFKC", p) for p in _IN_OTHER_LANGUAGES))


def instructions(reading: Reading, _source: SourceText) -> str | None:
    """Words that order the reader about, instead of saying what to do when."""
    for pattern, texts in ((_STEERING, reading.turned), (_SPLIT, reading.run_on)):
        for text in texts:
            match = pattern.search(text)
            if match:
                return match[0]
    for text in (reading.lower, *reading.disguised):
        match = _STEERING.search(text) or _BARE_ORDER.search(text) or _ADDRESSED.search(text)
        match = match or (None if reading.harness else _THE_CONVERSATION.search(text))
        if match:
            return match[0].strip(" .;:,")
    shouted = _SHOUTED.search(reading.text)
    if shouted and (shouted[1] or shouted[2].casefold() not in WELL_KNOWN):
        return shouted[0]
    match = _HARMFUL.search(reading.advice) or _DISOBEYING.search(reading.advice)
    match = match or _OTHER_LANGUAGES.search(reading.folded)
    match = match or _INVERTED.search(skeleton(reading.parts[2]))
    return match[0] if match else None
