package calibrate

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

// Identify tells the language of a text as an ISO 639-1 code, "" where it cannot. Where a script
// belongs to one of the known languages, the script decides; Cyrillic and Latin are told apart by the
// commonest words of each language and by letters that it doesn't have.
//
// It is made for answers of a sentence and more. It does not know a text of fewer than 20 letters (of
// 6 in scripts of one language), one of several scripts of which none has 60 % of the letters (code
// with a comment), nor one without common words (a list of names). Of single lines of novels, 60 letters
// and more, it takes none of 1,537 Russian and 0.4 % of 4,841 English ones for another language and does
// not know 2.5 and 3.2 % (TestIdentifyBooks). Close relatives that it has no words
// for are taken for their neighbour: Danish and Norwegian both count as "da", all Arabic script as "ar".
func Identify(text string) string {
	counts := map[string]int{}
	letters := 0
	for _, r := range text {
		if !unicode.IsLetter(r) {
			continue
		}
		letters++
		for _, s := range scripts {
			if unicode.Is(s.table, r) {
				counts[s.name]++
				break
			}
		}
	}
	if counts["ja"] > 0 && 10*(counts["ja"]+counts["zh"]) >= 6*letters && 10*counts["ja"] >= counts["zh"] && letters >= fewestOwn {
		return "ja" // kana among Han
	}
	for _, s := range scripts {
		switch n := counts[s.name]; {
		case 10*n < 6*letters || n < fewestOwn:
		case s.name != cyrillic && s.name != latin:
			return s.name
		case n >= fewestLetters:
			return byWords(text, s.name)
		}
	}
	return ""
}

const (
	fewestLetters = 20
	fewestOwn     = 6
)

const cyrillic, latin = "Cyrillic", "Latin"

// scripts name the language that each stands for, if it is one.
var scripts = []struct {
	name  string
	table *unicode.RangeTable
}{
	{latin, unicode.Latin}, {cyrillic, unicode.Cyrillic}, {"el", unicode.Greek}, {"he", unicode.Hebrew}, {"ar", unicode.Arabic},
	{"hy", unicode.Armenian}, {"ka", unicode.Georgian}, {"hi", unicode.Devanagari}, {"bn", unicode.Bengali}, {"ta", unicode.Tamil},
	{"th", unicode.Thai}, {"ja", unicode.Hiragana}, {"ja", unicode.Katakana}, {"ko", unicode.Hangul}, {"zh", unicode.Han},
}

// language is one of several of a script.
type language struct {
	script  string
	letters string // beyond those of base
	without string // letters of base that it doesn't have
	words   string
}

// base holds the letters that are taken for granted in a script.
var base = map[string]string{
	latin:    "abcdefghijklmnopqrstuvwxyz",
	cyrillic: "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
}

// languages are those of scripts with several.
var languages = map[string]language{
	"ru": {cyrillic, "", "", "и в не на что я он с как это а но по к у из за так же от для то его она все было бы о мы ты вы они был или если при уже только может чтобы когда который есть можно нужно также чем где почему кто какой какая какие сколько оно зачем этот эта эти мне меня тебя себя нет да их ей ему им до под над между том этом этого ее быть будет очень ли раз два напиши расскажи объясни переведи какое каждый"},
	"uk": {cyrillic, "ґєії", "ёъыэ", "і в не на що я він з як це а але по до у із за так же від для то його вона все було би про ми ти ви вони був або якщо при вже тільки може щоб коли який є можна треба також та чи чому хто яка які скільки воно навіщо цей ця ці мені мене тебе себе немає їх їй йому їм під над між тому цього її бути буде дуже напиши розкажи поясни переклади"},
	"be": {cyrillic, "іў", "ищъ", "і ў у не на што я ён з як гэта а але па да за так жа ад для яго яна ўсё было б пра мы ты вы яны быў або калі пры ўжо толькі можа каб які ёсць можна трэба таксама"},
	"bg": {cyrillic, "", "ёыэ", "и в не на че аз той с как това а но по към у от за така се да му тя всичко беше би ни ти вие те бил или ако при вече само може когато който е са има ще си със във"},
	"sr": {cyrillic, "ђјљњћџ", "ёйщъыьэюя", "и у не на да ја он са као то а али по ка код из за тако се од његов она све је би о ми ти ви они био или ако при већ само може када који су има ће што"},
	"mk": {cyrillic, "ѓѕјљњќџ", "ёйщъыьэюя", "и во не на да јас тој со како тоа а но по кон од за така се неговиот таа сè беше би ние ти вие тие бил или ако при веќе само може кога кој е се има ќе што ги го"},
	"kk": {cyrillic, "әғқңөұүһі", "", "және бұл мен сен ол біз сіз олар үшін бір бар жоқ еді деп осы сол не қалай ма ме де да болып болады керек туралы кейін дейін оның менің сіздің бірақ өте көп қазір егер емес арқылы сондай неге кім қандай қанша қайда қашан жаз айт түсіндір маған саған оны біздің олардың едім етеді жатыр"},
	"tt": {cyrillic, "әөүҗңһ", "", "һәм бу мин син ул без сез алар өчен бер бар юк иде дип шул нәрсә ничек та тә да дә булып була кирәк турында соң кадәр аның минем сезнең ләкин бик күп хәзер әгәр түгел белән"},
	"en": {latin, "", "", "the of and to in is that it for was on as with be at by i this you are not have from or an they which but we all can has there will one if would what so about when your he his her she him my me had were said into out up no now them then very some could did do been who how more only see any their why write explain tell give list these those much many should than other make"},
	"de": {latin, "äöüß", "", "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über ich wir kann oder aber was warum wer welche welcher wo wann schreibe erkläre du mein dein ihr uns"},
	"fr": {latin, "àâæçéèêëîïôœùûü", "", "de la le et les des en un une du est que dans pour qui par sur pas au plus ne ce il avec sont se ou son vous cette aux je nous mais comme être peut elle quoi pourquoi quel quelle quels comment où quand écris explique ma mon tu ses leur"},
	"es": {latin, "áéíñóúü", "", "de la que el en y a los se del las un por con no una su para es al lo como más o pero sus le ha me si sin sobre este ya entre cuando todo esta ser son también puede qué cómo cuál cuáles dónde quién cuándo escribe explica mi tu nos les"},
	"it": {latin, "àèéìòù", "", "di e il la che in un a per è una sono non con del si da le dei come più nel della ma anche i lo al gli alla o ha questo se su ci essere può delle perché quale quali quando dove chi cosa scrivi spiega mi ti tuo nei"},
	"pt": {latin, "áâãàçéêíóôõú", "", "de a o que e do da em um para é com não uma os no se na por mais as dos como mas foi ao ele das tem à seu sua ou ser quando muito há nos já está eu também pode você qual quais porque onde quem escreva explique meu minha sobre"},
	"nl": {latin, "éëï", "", "de van een het en in is dat op te zijn voor met die niet aan er om ook als dan bij of maar uit hij door naar wordt over je ik kan heeft nog worden wat deze"},
	"pl": {latin, "ąćęłńóśźż", "", "i w na nie się z do to że jest o a jak po co za od ale jego przez czy tak dla był są może być jako tego które który lub tylko też oraz jej ich dlaczego kto jaki jaka jakie gdzie kiedy napisz mi czym tej tym"},
	"cs": {latin, "áčďéěíňóřšťúůýž", "", "a v se na je že s z do o to i jako za by ale po pro jsou byl od které který co podle také jak nebo ve však jeho mohou může být tak jsem už"},
	"tr": {latin, "çğıiöşü", "qwx", "ve bir bu da de için ile çok ne olarak daha gibi olan kadar ama en o ben sen var mı değil sonra ya her şey veya ise olduğu olduğunu tarafından nasıl neden kim nerede yaz açıkla bana onu hangi"},
	"ro": {latin, "ăâîșțşţ", "", "de și în a la cu nu pe o un este că din să mai se care pentru sunt ca le ce sau prin au fost dar ar fi după cum această poate"},
	"hu": {latin, "áéíóöőúüű", "", "a az és hogy nem is egy ez de van meg csak már mint azt ha ki lehet vagy el még volt ezt kell minden vannak amely után pedig"},
	"sv": {latin, "åäöé", "", "och i att det som en på är av för med till den har de inte om ett jag men var sig så vi från kan du när eller ska mycket också vad"},
	"da": {latin, "æøåé", "", "og i at det som en på er af for med til den har de ikke om et jeg men var sig så vi fra kan du når eller skal meget også hvad av"},
	"fi": {latin, "äöå", "", "ja on ei se että oli hän en mutta kun niin ovat myös kuin tai sen joka mitä ole voi jos sitä hänen minä tämä olla vain mukaan kanssa sekä"},
	"vi": {latin, "àáâãèéêìíòóôõùúýăđĩũơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ", "fjwz", "và của là có cho không được với các một những trong để người này khi đã về tôi bạn thì từ như ra nhiều hay phải vào đó"},
	"id": {latin, "", "", "yang dan di ini itu dengan untuk tidak dari dalam akan pada juga saya ke karena bisa ada oleh adalah atau kita anda lebih seperti sudah tersebut dapat sebagai mereka"},
}

// known reports that a language can be told.
func known(code string) bool {
	_, ok := languages[code]
	for _, s := range scripts {
		ok = ok || s.name == code && code != cyrillic && code != latin
	}
	return ok
}

func knownList() string {
	list := slices.Collect(maps.Keys(languages))
	for _, s := range scripts {
		if s.name != cyrillic && s.name != latin && !slices.Contains(list, s.name) {
			list = append(list, s.name)
		}
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// A language is told from common words by at least this share of the words, and this much ahead of the next.
const (
	leastShare = 0.08
	leastAhead = 0.02
)

// byWords tells the languages of a script apart: the share of the words that are common ones, less
// four times the share of letters that the language doesn't have. One common word is none.
func byWords(text, script string) string {
	list := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !strings.ContainsRune("'’-", r) // don't is one word
	})
	best, first, second := "", 0.0, 0.0
	for _, code := range slices.Sorted(maps.Keys(languages)) {
		l := languages[code]
		if l.script != script {
			continue
		}
		switch score := l.score(list); {
		case score > first:
			best, first, second = code, score, first
		case score > second:
			second = score
		}
	}
	if first < leastShare || first-second < leastAhead {
		return ""
	}
	return best
}

func (l language) score(words []string) float64 {
	common := map[string]bool{}
	for _, w := range strings.Fields(l.words) {
		common[w] = true
	}
	table := unicode.Latin
	if l.script == cyrillic {
		table = unicode.Cyrillic
	}
	hits, letters, foreign := 0, 0, 0
	seen := map[string]bool{}
	for _, w := range words {
		if common[w] {
			hits++
			seen[w] = true
		}
		for _, r := range w {
			if !unicode.Is(table, r) {
				continue
			}
			letters++
			if !strings.ContainsRune(l.letters, r) && (!strings.ContainsRune(base[l.script], r) || strings.ContainsRune(l.without, r)) {
				foreign++
			}
		}
	}
	if letters == 0 || len(seen) < 2 {
		return 0
	}
	return float64(hits)/float64(len(words)) - 4*float64(foreign)/float64(letters)
}
