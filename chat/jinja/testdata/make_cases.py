"""make_cases.py > cases.json : what Jinja2 makes of small templates, set up as transformers sets it up.

Needs jinja2 3.1. Every template here was written for this test; each exercises one feature or
imitates the style of a published chat template. TestCases in cases_test.go compares.
"""
import copy, json, sys
from datetime import datetime
import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    tags = {"generation"}
    blocks, spans = None, None

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(lineno)

    @jinja2.pass_eval_context
    def _mark(self, context, caller):
        text = caller()
        start = len("".join(Generation.blocks))
        Generation.spans.append([start, start + len(text)])
        return text


class Raised(jinja2.exceptions.TemplateError):
    pass


def raise_exception(message):
    raise Raised(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception
NOW = datetime(2024, 7, 6, 15, 4, 9)
env.globals["strftime_now"] = NOW.strftime

VARS = {
    "s": "Hello, World", "blank": "  a b \n", "empty": "", "uni": "Привет, мир! Straße 😀", "n": 7, "neg": -3, "f": 2.5, "zero": 0, "big": 12345678901234567890,
    "yes": True, "no": False, "nil": None, "list": [3, 1, 2], "words": ["b", "A", "c", "a"], "nest": [[1, [2, "x"]], {"k": [None, True, 1.0]}], "none_list": [],
    "d": {"b": 1, "a": "x", "items": 5, "ключ": "зн", "nested": {"deep": [1, {"y": "z"}]}}, "e": {},
    "people": [{"name": "Ann", "age": 31, "tag": {"x": 1}}, {"name": "bob", "age": 25, "tag": {"x": 3}}, {"name": "Cid", "age": 40, "tag": {"x": 2}, "vip": True}],
    "floats": [0.1, 1e16, 1e15, 123456.789, 1e-4, 1e-5, 1.0, -0.0, 3e300, 0.30000000000000004, 100.0],
    "q": "it's \"q\" \\ \t\n\x01\x7f é\u200b", "lines": "one\ntwo\n\nthree\n",
}
EXPR = r"""
1 + 2 * 3 ;; 7 // 2 ;; -7 // 2 ;; -7 % 3 ;; 7 % -3 ;; 7 / 2 ;; 6 / 2 ;; 2 ** 10 ;; 2 ** -1 ;; 2 ** 3 ** 2 ;; -2 ** 2 ;; 7.5 // 2 ;; -7.5 % 2 ;; 1 / 0 ;; 1 % 0 ;; 1.5e3 ;; 1e400 ;; 0x1F + 0b11 + 0o17 ;; 1_000 ;; 007
1 + 1.0 ;; true + 1 ;; 'a' + 'b' ;; 'a' + 1 ;; 'a' * 3 ;; 3 * 'ab' ;; 'a' * -1 ;; [1] + [2] ;; (1,) + (2,) ;; [1] + (2,) ;; [0] * 3 ;; 'a' ~ 1 ~ none ~ true ~ 1.0 ;; 1 ~ 2 + 3 ;; - 3 ;; +f ;; -s ;; not s ;; not not s ;; - - 2
n == 7.0 ;; 1 == true ;; 'a' < 'b' ;; 1 < 'a' ;; 1 < 2 < 3 ;; 1 < 3 < 2 ;; [1,2] < [1,3] ;; (1,2) == [1,2] ;; {'a':1} == {'a':1.0} ;; none == false ;; nil is none ;; undefinedvar == other ;; n != 7 ;; n >= 7 and n <= 7 ;; [1] == [1.0] ;; 'B' > 'a'
3 in list ;; 5 not in list ;; 'lo' in s ;; 'x' in d ;; 'a' in d ;; 1 in 'abc' ;; none in [none] ;; 'a' in undefinedvar ;; not 3 in list ;; (3 in list) == true ;; 2 in (1,2) ;; 2 in range(3) ;; true in [1]
s and n ;; empty or 'dflt' ;; zero and 1/0 ;; nil or zero or empty ;; 'x' if yes ;; 'x' if no ;; 'x' if no else 'y' ;; 'a' if no else 'b' if no else 'c' ;; ('x' if no) is defined ;; 1 if yes else 2 ~ 'z'
list[0] ;; list[-1] ;; list[5] ;; list[5] is defined ;; list['x'] ;; list[1:] ;; list[:-1] ;; list[::-1] ;; list[::2] ;; s[1:4] ;; s[-5:] ;; uni[0] ;; uni[-1] ;; uni[2:8] ;; uni[::-1] ;; s[99:] ;; list[none:2] ;; s[::0] ;; list[2:0:-1] ;; s[100] ;; (1,2,3)[1:]
d.b ;; d['b'] ;; d.items ;; d['items'] ;; d.missing ;; d['missing'] ;; d.missing.x ;; d['missing']['x'] ;; d.nested.deep[1].y ;; d['ключ'] ;; d.get('b') ;; d.get('zz') ;; d.get('zz', 9) ;; d.get('zz', default=9) ;; list.0 ;; people.0.name ;; s.foo ;; s.foo is defined ;; n.foo ;; nil.foo ;; nil['foo'] ;; undefinedvar.foo ;; undefinedvar ;; undefinedvar[0] ;; undefinedvar() ;; undefinedvar + 'x' ;; undefinedvar ~ 'x' ;; undefinedvar | length ;; -undefinedvar ;; undefinedvar < 1
d.keys() ;; d.values() ;; d.items() ;; d.keys() | list ;; d.items() | list ;; d | list ;; d | length ;; d | items | list ;; d | items ;; d.items() | length ;; d.copy() ;; dict(a=1, b='x') ;; dict([('k', 1)], z=2) ;; dict() ;; {'a': 1, 'a': 2} ;; {1: 'x', true: 'y'} ;; {[1]: 2} ;; {(1,2): 3}[(1,2)] ;; {'a': {}} ;; {}
() ;; (1,) ;; (1, 2) ;; 1, 2 ;; [1, 'a', none, true, 1.5, [2], {'k': 'v'}] ;; [] ;; [1,] ;; {'a': 1,} ;; 'a' 'b' "c" ;; 'a\n\t\\\'\x41\u00e9\q' ;; "\"" ;; 'a\
b' ;; '\101' ;; '{{ x }}' ;; '%}' ;; "a'b" | list ;; ['a\'b', "q\"'"] ;; q ;; [q] ;; [uni]
floats ;; floats[0] ;; floats[1] ;; floats[4] ;; floats[5] ;; floats[8] ;; 1e22 ;; 1.0 ;; 100000000000000000000.0 ;; 0.1 + 0.2 ;; 1/3 ;; 5e-324 ;; big ;; [big] ;; big == big ;; 10 ** 15 ;; 3.0 | string ;; true | string ;; none | string ;; nil | string | length
s | upper ;; s | lower ;; s | title ;; 'hELLO wORLD-foo (bar)' | title ;; 'hELLO wORLD' | capitalize ;; uni | upper ;; uni | capitalize ;; blank | trim ;; blank | trim | length ;; 'xxaxx' | trim('x') ;; 5 | trim ;; none | trim ;; undefinedvar | trim ;; undefinedvar | upper ;; s | replace('l', 'L') ;; s | replace('l', 'L', 1) ;; s | replace('', '-') ;; 5 | replace(5, 6) ;; s | length ;; uni | length ;; 5 | length ;; none | length ;; list | count
list | join(', ') ;; list | join ;; words | join('-') ;; people | join(', ', attribute='name') ;; undefinedvar | join ;; 'abc' | join('.') ;; d | join(',') ;; 5 | join ;; [1, none, true] | join('|')
list | first ;; list | last ;; none_list | first ;; none_list | first is defined ;; none_list | last ;; s | first ;; s | last ;; d | first ;; 5 | first ;; list | sort ;; list | sort(reverse=true) ;; words | sort ;; words | sort(case_sensitive=true) ;; people | sort(attribute='age') | map(attribute='name') | list ;; people | sort(attribute='tag.x') | map(attribute='name') | join ;; people | sort(attribute='name,age') | map(attribute='name') | join ;; [1, 'a'] | sort ;; [none, 1] | sort ;; words | unique | list ;; words | unique(case_sensitive=true) | list ;; [1, 1.0, true, 2] | unique | list ;; d | dictsort ;; {'B': 1, 'a': 2} | dictsort ;; {'B': 1, 'a': 2} | dictsort(true) ;; {'B': 2, 'a': 1} | dictsort(by='value') ;; {'B': 1, 'a': 2} | dictsort(reverse=true) ;; 5 | dictsort
list | min ;; list | max ;; words | min ;; words | max ;; people | max(attribute='age') | string | length ;; none_list | max ;; list | sum ;; people | sum(attribute='age') ;; list | sum(start=10) ;; [0.5, 1] | sum ;; ['a'] | sum ;; list | reverse | list ;; s | reverse ;; list | reverse | first ;; d | reverse | list ;; list | map('string') | list ;; words | map('upper') | join ;; words | map('replace', 'a', 'Z') | list ;; people | map(attribute='tag.x') | list ;; people | map(attribute='vip') | list ;; people | map(attribute='vip', default=false) | list ;; list | map('nofilter') | list ;; list | map | list ;; (5 | map('upper')) is defined ;; 0 | map('upper') | list ;; (5 | items) is defined ;; 5 | items | list ;; nil[1:] ;; d[1:] ;; (list | map('string'))[0] ;; (list | map('string'))[:1] ;; list[undefinedvar] ;; d[undefinedvar] ;; undefinedvar | int ;; list | truncate(9) ;; list | truncate(2, leeway=0) ;; undefinedvar | map('upper') | list
people | selectattr('vip') | map(attribute='name') | list ;; people | rejectattr('vip') | map(attribute='name') | list ;; people | selectattr('age', 'gt', 30) | map(attribute='name') | list ;; people | selectattr('name', 'equalto', 'Ann') | list | length ;; people | selectattr('name', 'in', ['Ann', 'Cid']) | map(attribute='name') | join ;; people | selectattr('vip', 'defined') | list | length ;; people | rejectattr('vip', 'undefined') | list | length ;; list | select('odd') | list ;; list | reject('odd') | list ;; [0, 1, '', 'a', none] | select | list ;; [0, 1, '', 'a', none] | reject | list ;; list | select('greaterthan', 1) | list ;; people | selectattr('nope.deep') | list ;; (people | selectattr('vip') | list)[0].name ;; people | selectattr('vip') | length ;; (people | selectattr('age', 'gt', 99)) is defined ;; 'y' if people | selectattr('age', 'gt', 99) else 'n' ;; people | selectattr('vip') | first | length ;; words | select('in', 'abc') | list ;; words | select('string') | list | length ;; words | reject('sameas', 'b') | list | length
undefinedvar | default('x') ;; none | default('x') ;; none | default('x', true) ;; empty | default('x') ;; empty | default('x', boolean=true) ;; d.zz | default('q') ;; d.zz.yy | default('q') ;; undefinedvar | d ;; 0 | default(1, true)
'42' | int ;; '42.9' | int ;; 'x' | int ;; 'x' | int(7) ;; '0x1f' | int(0, 16) ;; '11' | int(base=2) ;; 3.9 | int ;; -3.9 | int ;; none | int ;; true | int ;; ' 5 ' | int ;; '1_0' | int ;; [] | int ;; '1.5' | float ;; 'x' | float ;; 'x' | float(1.0) ;; 3 | float ;; 'inf' | float ;; '1e3' | int ;; 2.5 | round ;; 3.5 | round ;; 2.567 | round(2) ;; 2.1 | round(method='ceil') ;; 2.9 | round(0, 'floor') ;; 5 | round ;; 1234 | round(-2) ;; -2.5 | round | int ;; neg | abs ;; -2.5 | abs ;; 's' | abs
'%s and %d' | format('a', 3) ;; '%(x)s!' | format(x=5) ;; '%5.2f|%-5s|%05d' | format(3.14159, 'ab', 42) ;; '%s' % 'x' ;; '%s %s' % ('x', 'y') ;; '%d%%' % 50 ;; '%x %X %o' % (255, 255, 8) ;; '%e' % 12345.678 ;; '%g' % 0.00001234 ;; '%g' % 123456789 ;; '%r' % 'a' ;; '%s' % none ;; '%s' % ('a', 'b') ;; '%d' % 'a' ;; '%s %s' % 'a' ;; '%+d % d' % (5, 5) ;; '%.3s' % 'abcdef' ;; '%c' % 65 ;; '%5s|%-5s|' % ('é', 'é') ;; '%i' % 3.99
'{} {}'.format('a', 1) ;; '{0} {1} {0}'.format('a', 'b') ;; '{x}'.format(x=3) ;; '{:>5}|{:<5}|{:^5}|'.format('a', 'b', 'c') ;; '{:05d} {:,} {:.2f} {:x} {:%}'.format(42, 1234567, 3.14159, 255, 0.5) ;; '{{}}'.format() ;; '{}'.format() ;; '{a[0]} {b.name}'.format(a=[1], b={'name': 2}) ;; '{!r}'.format('x') ;; '{:e}'.format(1234.5) ;; '{:*^9}'.format('mid') ;; '{:+d}'.format(5) ;; '{:b}'.format(5) ;; '{:g}'.format(0.1) ;; '{:10}|'.format(5) ;; '{:10}|'.format('5') ;; '{}'.format(none) ;; '{}'.format(1.0) ;; '{:s}'.format('a') ;; '{:d}'.format('a') ;; '{:.3}'.format('abcdef') ;; '{:.3}'.format(3.14159)
s.upper() ;; s.lower() ;; s.strip('Hd') ;; blank.strip() ;; blank.lstrip() ;; blank.rstrip() ;; s.split(',') ;; s.split() ;; s.split('o', 1) ;; s.rsplit('o', 1) ;; 'a  b c'.split() ;; 'a  b c'.split(' ') ;; ' a b  c '.split(none, 1) ;; ' a b  c '.rsplit(none, 1) ;; 'a,b,c'.split(',', maxsplit=1) ;; ''.split() ;; ''.split(',') ;; 'x'.split('') ;; s.startswith('He') ;; s.startswith(('x', 'H')) ;; s.startswith('l', 2) ;; s.endswith('ld') ;; s.startswith(5) ;; s.replace('l', 'L', 2) ;; s.find('o') ;; s.find('zz') ;; s.rfind('o') ;; s.index('zz') ;; s.index('W') ;; uni.find('мир') ;; s.count('l') ;; s.title() ;; "it's".title() ;; s.capitalize() ;; s.swapcase() ;; s.center(20, '*') ;; 'abc'.center(6) ;; 'abc'.center(7) ;; 'ab'.center(5) ;; s.ljust(15) ~ '|' ;; s.rjust(15) ;; '-5'.zfill(4) ;; s.isdigit() ;; '12'.isdigit() ;; 'ab'.isalpha() ;; 'AB'.isupper() ;; 'a1'.isalnum() ;; ''.isalpha() ;; ' '.isspace() ;; s.partition(', ') ;; s.rpartition('o') ;; s.partition('zz') ;; '-'.join(['a', 'b']) ;; '-'.join([1]) ;; lines.splitlines() ;; lines.splitlines(true) ;; 'abc'.removeprefix('a').removesuffix('c') ;; s.nope() ;; 'a-b'.split('-')[0] ;; s.split(', ')[-1].strip().upper() ;; '</think>' in s ;; 'a</think>b'.split('</think>')[-1].lstrip('\n')
list.append(4) ;; d.update({}) ;; list.pop() ;; d.pop('b') ;; list.index(1) ;; list.index(9) ;; list.count(3) ;; list.copy() ;; (1,2).index(2) ;; s.__class__ ;; s.__class__.__mro__ ;; d.__class__ is defined ;; d['__class__'] ;; list.sort() ;; d.setdefault('x', 1) ;; d.clear() ;; d.get() ;; d.get(1,2,3)
d | tojson ;; d | tojson(indent=2) ;; nest | tojson ;; nest | tojson(indent=4) ;; uni | tojson ;; uni | tojson(ensure_ascii=true) ;; q | tojson ;; q | tojson(true) ;; d | tojson(separators=(',', ':')) ;; d | tojson(sort_keys=true) ;; [] | tojson(indent=2) ;; {} | tojson(indent=2) ;; none | tojson ;; true | tojson ;; 1.0 | tojson ;; floats | tojson ;; big | tojson ;; '<a> & \'b\'' | tojson ;; undefinedvar | tojson ;; (1, 2) | tojson ;; {1: 2, none: 3, true: 4, 1.5: 5} | tojson ;; {(1,2): 1} | tojson ;; list | map('string') | tojson ;; d.items() | tojson ;; range(3) | tojson ;; d | tojson(indent=0) ;; d | tojson(indent='\t') ;; nest | tojson(indent=2, separators=(', ', ' = ')) ;; d | tojson(indent=none) ;; [[], {}, [[]]] | tojson(indent=1) ;; '1e999' | float | tojson ;; 'nan' | float | tojson ;; '\u2028/' | tojson ;; d | tojson(foo=1)
lines | indent ;; lines | indent(2) ;; lines | indent(2, true) ;; lines | indent(2, blank=true) ;; lines | indent('> ', true, true) ;; '' | indent ;; 'a' | indent(first=true) ;; 5 | indent ;; s | center(20) ~ '|' ;; 'a b c d e f g h' | truncate(9) ;; 'a b c d e f g h' | truncate(9, true, leeway=0) ;; 'a b c d e f g h' | truncate(9, leeway=0) ;; 'a b c d e f g h' | truncate(9, leeway=0, end='~') ;; s | truncate(20) ;; s | wordcount ;; 'a b/c?d=é' | urlencode ;; {'a b': 1, 'c': '/é'} | urlencode ;; [('x', 'y z')] | urlencode ;; [1] | urlencode ;; 'a' % [1, 2] ;; '<a&"\'>' | e ;; '<a>' | escape ;; s | safe ;; [1,2,3,4,5] | batch(2) | list ;; [1,2,3,4,5] | batch(2, 'x') | list ;; [1,2,3,4,5] | slice(3) | list ;; [1,2,3,4,5] | slice(3, 'x') | list ;; people | groupby('vip', default=false) | length ;; words | groupby(0) | list ;; d | attr('b') ;; s | attr('upper') is defined
n is odd ;; n is even ;; n is divisibleby 7 ;; n is divisibleby(2) ;; s is string ;; n is string ;; n is number ;; yes is number ;; f is float ;; n is integer ;; yes is integer ;; yes is boolean ;; nil is none ;; nil is not none ;; d is mapping ;; list is mapping ;; list is sequence ;; s is sequence ;; d is sequence ;; n is sequence ;; list is iterable ;; s is iterable ;; n is iterable ;; undefinedvar is iterable ;; d.items() is iterable ;; d.items() is sequence ;; undefinedvar is defined ;; undefinedvar is undefined ;; undefinedvar is not defined ;; undefinedvar is none ;; yes is true ;; no is false ;; 1 is true ;; yes is sameas true ;; n is sameas 7 ;; nil is sameas none ;; s is lower ;; 'abc' is lower ;; 'ABC' is upper ;; n is eq 7 ;; n is equalto(7) ;; n is ne 7 ;; n is gt 3 ;; n is lessthan 3 ;; n is ge 7 ;; n is le 7 ;; 3 is in list ;; 3 is in(list) ;; range is callable ;; s is callable ;; s.upper is callable ;; 'upper' is filter ;; 'nope' is filter ;; 'odd' is test ;; s is escaped ;; n is nosuchtest ;; n is defined and n > 3 ;; n is defined or 1/0 ;; not n is defined ;; n is not string ;; n is string or s is string ;; undefinedvar is string ;; d.get is defined ;; list is string and 1 ;; n is number if yes else 3 ;; (1,) is sequence ;; range(2) is sequence ;; 1.0 is integer ;; undefinedvar is sequence ;; undefinedvar is mapping ;; undefinedvar is callable
range(5) | list ;; range(2, 8, 3) | list ;; range(5, 0, -2) | list ;; range(3) ;; range(1, 3) ;; range(0, 9, 2) ;; range(5)[2] ;; range(5) | length ;; range(5)[-1] ;; range(0) | list ;; range(5, 1) | list ;; range(1, 2, 0) ;; range(200000) ;; range('a') ;; range(10) | last ;; range(5) | sum ;; (range(4) | list)[::-1] ;; range(3) == range(0, 3) ;; range(1.5)
namespace(a=1).a ;; namespace(a=1).b ;; namespace(a=1).b is defined ;; namespace(a=1) ;; namespace({'x': 2}).x ;; namespace(a=1)['a'] ;; joiner(', ')() ;; cycler('a', 'b').next() ;; strftime_now('%Y-%m-%d') ;; strftime_now('%d %B %Y, %H:%M:%S %p %A %b %a %j %y %I %%') ;; raise_exception('bad: ' ~ n) ;; s | nosuchfilter ;; nosuchfn(1) ;; s(1) ;; none(1) ;; 'abc' | list ;; 'abc' | list | join('-') ;; {'a': 1}.items() | list ;; (1, 2) | list ;; none | list ;; 5 | list ;; undefinedvar | list
1 if n is defined and s is string else 0 ;; (n > 3) ~ (n < 3) ;; [n, s] | join ;; s | upper | lower | length + 1 ;; -n | abs ;; (-n) | abs ;; n | string + 'x' ;; not n == 7 ;; n + 1 if yes else 0 ;; s | default('x') | length > 3 ;; 'a' in ['a'] and 'b' not in ['a'] ;; 'x' ~ ('a' if no) ~ 'y' ;; [x for x in list] ;; list[0] + list[1] * list[2] ;; {'a': [1, {'b': 2}]}['a'][1].b ;; (s, n)[0][0] ;; "a" if "a" == 'a' ;; s.split(', ') | last ;; 1 .foo ;; 5.foo ;; n.0 ;; f(1) ;; 1 == 1 == 1 ;; 'a' ~ 'b' == 'ab' ;; lambda ;; list | length is odd ;; list | length == 3 and yes ;; list[0:2] | join ;; dict(d, z=1) | length ;; dict(**{'a': 2}) ;; range(*[1, 3]) | list ;; 'x'.join(*[['a', 'b']]) ;; s|trim|length ;; s[:-1] + '!' ;; s[n] ;; s[-n:n] ;; d[s] is defined ;; list[yes] ;; people[0]['name'] ~ people[1].name ;; 2 * n + 1 ;; 2 * (n + 1) ;; n // 2 * 2 == n ;; loop ;; loop is defined ;; varargs ;; caller
"""
TEMPLATES = r"""
plain text without tags
%%
a {{ n }} b {%- if yes %} c {% endif -%} d
%%
  {% if yes %}
  x
  {% endif %}
y
%%
a
  {%- if yes -%}
  x
  {%- endif -%}
  y
%%
a {%+ if yes %} b {%+ endif +%}
 c
%%
    {{ n }}
{# comment #}
  {# indented comment #}
{#- stripped -#}  z {# a #} b
%%
{# multi
line {{ n }} {% if %} #}x
%%
{% raw %}{{ n }} {% if %}{% endraw %}!
  {% raw %}
 a
  {% endraw %}
b{%- raw -%}  x {%- endraw -%}  c
%%
{% for x in list %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}
%%
{% for x in list -%}
  {{ loop.index }}/{{ loop.length }} {{ loop.index0 }} {{ loop.revindex }} {{ loop.revindex0 }} {{ loop.first }} {{ loop.last }} {{ loop.previtem }} {{ loop.nextitem }} {{ loop.depth }} {{ loop.cycle('a', 'b') }} {{ loop.changed(x > 1) }}
{% endfor %}
%%
{% for x in none_list %}x{% else %}none{% endfor %}{% for x in undefinedvar %}x{% else %}undef{% endfor %}
%%
{% for x in 5 %}x{% endfor %}
%%
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in d | items %}{{ k }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}
%%
{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
%%
{% for a, b in [(1, 2, 3)] %}{{ a }}{% endfor %}
%%
{% for x in list if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% else %}none{% endfor %}
%%
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}
%%
{% for x in range(3) %}{% for y in range(3) %}{% if y > x %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{{ loop.index }}|{% endfor %}
%%
{% for p in [{'n': 1, 'c': [{'n': 2, 'c': []}, {'n': 3, 'c': []}]}] recursive %}{{ p.n }}@{{ loop.depth }}({{ loop(p.c) }}){% endfor %}
%%
{% set x = 1 %}{% for y in list %}{% set x = y %}{{ x }}{% endfor %}{{ x }}
%%
{% set ns = namespace(x=1, found=false) %}{% for y in list %}{% set ns.x = ns.x + y %}{% if y == 1 %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.x }} {{ ns.found }}
%%
{% set d.x = 1 %}
%%
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set c = 1, 2 %}{{ c }}
%%
{% if yes %}{% set z = 5 %}{% endif %}{{ z }}{% if no %}{% set w = 5 %}{% endif %}{{ w is defined }}
%%
{% set x %}
  block {{ n }}
{% endset %}[{{ x }}]{% set y | upper | trim %} abc {% endset %}[{{ y }}]
%%
{% macro greet(name, greeting='Hi', mark=name ~ '!') %}{{ greeting }} {{ name }}{{ mark }}{% endmacro %}{{ greet('Bob') }}{{ greet('Al', 'Yo') }}{{ greet(greeting='X', name='N', mark='') }}{{ greet() }}
%%
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
%%
{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, k=4) }}
%%
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=1) }}
%%
{% macro box(t) %}[{{ t }}: {{ caller() }}]{% endmacro %}{% call box('T') %}inner {{ n }}{% endcall %}
%%
{% macro each(l) %}{% for x in l %}{{ caller(x, loop.index) }}{% endfor %}{% endmacro %}{% call(v, i) each(list) %}<{{ i }}:{{ v }}>{% endcall %}
%%
{% macro fact(k) %}{% if k <= 1 %}1{% else %}{{ k * (fact(k - 1) | int) }}{% endif %}{% endmacro %}{{ fact(5) }}
%%
{% macro a() %}{{ b() }}{{ later }}{% endmacro %}{% macro b() %}B{% endmacro %}{% set later = 'L' %}{{ a() }}{{ a.name }}
%%
{% macro a(x) %}{% set y = x %}{{ y }}{% endmacro %}{{ a(1) }}{{ y is defined }}
%%
{% macro inf() %}{{ inf() }}{% endmacro %}{{ inf() }}
%%
{% filter upper %}abc {{ s }}{% endfilter %}{% filter replace('a', 'b') | trim %} aaa {% endfilter %}
%%
{% with a = 1, b = n %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a is defined }}{{ c is defined }}
%%
{% print n, s %}
%%
{% if no %}a{% elif n == 7 %}b{% else %}c{% endif %}{% if no %}a{% elif no %}b{% else %}c{% endif %}{% if undefinedvar %}a{% endif %}
%%
{% if yes: %}x{% endif %}
%%
{% set x = 'a' if no else 'b' %}{{ x }}{% set y = (1 if yes else 2) + 3 %}{{ y }}
%%
{% generation %}abc{% endgeneration %} x {% generation %}é😀{{ n }}{% endgeneration %}{% for x in list %}{% generation %}
{{ x }}{%- endgeneration -%} , {% endfor %}{% generation %}{% set inner = 1 %}{% endgeneration %}{{ inner is defined }}
%%
{{ raise_exception('Only user and assistant roles are supported!') }}
%%
{% if n == 7 %}{{- raise_exception("n is %d" % n) -}}{% endif %}
%%
{{ n }
%%
{% if yes %}x
%%
{% endif %}
%%
{% foo %}
%%
{{ 'unclosed }}
%%
{{ (1 + 2 }}
%%
{{ }}
%%
{% for in list %}{% endfor %}
%%
{% set true = 1 %}
%%
{# unclosed
%%
{% raw %} unclosed
%%
{% include 'x' %}
%%
{% break %}
%%
{{ n }}{{ s }}
{{- n }}
{{ s -}}
   {{ n }}
%%
{%- set x = [1,
   2,
   3] -%}
{{ x
   | join(',') }}
%%
{% if no %}{{ s | nofilter }}{% endif %}ok
%%
{{ s | nofilter if no }}
%%
{%set x=1%}{%-if x-%}{{x}}{%-endif-%}
%%
{% set items = [] %}{% for x in list %}{% set items = items + [x] %}{% endfor %}{{ items }}
%%
{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner() %}{% for x in list %}{{ j() }}{{ x }}{% endfor %}
%%
{% set g = people | selectattr('age', 'gt', 30) %}{% for p in g %}{{ p.name }}{% endfor %}-{% for p in g %}{{ p.name }}{% endfor %}
%%
{% for line in lines.splitlines() %}{{ loop.index }}:{{ line }}
{% endfor %}
%%
{% for c in uni[:3] %}{{ c }}.{% endfor %}
%%
{% set m = people[1:] %}{{ m[0].name }}{% set people = m %}{{ people | length }}
%%
{%- for x in list %}
    {%- if loop.first %}
        {{- 'first ' }}
    {%- else %}
        {{- x ~ '\n' }}
    {%- endif %}
{%- endfor %}
%%
{{ '\n' }}{% if yes %}

x{% endif %}

%%
{% for x in [1,2] %}{% for y in [3,4] %}{{ loop.index }}{{ x }}{{ y }}{% endfor %}{{ loop.index }}{% endfor %}
%%
{% set outer = namespace(v=namespace(w=1)) %}{{ outer.v.w }}{% set o = outer.v %}{% set o.w = 2 %}{{ outer.v.w }}
%%
{% macro f(x) -%}
    {{ x }}
{%- endmacro %}
{{ f(1) }}
{{ f(2) }}
%%
{% for x in list %}{{ x }}{% set q = loop %}{% endfor %}{{ loop is defined }}{{ q is string }}
%%
{% set x = 1 %}{% macro show() %}{{ x }}{% endmacro %}{% set x = 2 %}{{ show() }}{% for i in [1] %}{% set x = 3 %}{{ show() }}{% endfor %}
%%
{{ s }}{% if n is not none and n > 5 %} big{% endif %}{% if list and list[0] == 3 %} three{% endif %}
"""


def run(template, variables):
    Generation.blocks, Generation.spans = [], []
    variables = copy.deepcopy(variables)  # the indent filter adds to a list in place
    try:
        for block in env.from_string(template).generate(**variables):
            Generation.blocks.append(block)
    except Raised as e:
        return {"raised": str(e)}
    except (Exception, RecursionError) as e:
        return {"error": f"{type(e).__name__}: {e}"[:200]}
    text = "".join(Generation.blocks)
    if " at 0x" in text:
        return {"opaque": True}
    return {"text": text, "spans": Generation.spans}


def main():
    cases = []
    for chunk in EXPR.strip().split(" ;; "):
        pieces = chunk.split("\n") if "\\\n" not in chunk else [chunk]
        for x in pieces:
            cases.append({"template": "{{ " + x + " }}"})
    for t in TEMPLATES.strip("\n").split("\n%%\n"):
        cases.append({"template": t})
    for c in cases:
        c.update(run(c["template"], VARS))
    json.dump({"vars": VARS, "cases": cases, "styles": styles()}, sys.stdout, ensure_ascii=False, indent=0)
    print()


def styles():
    import glob, os
    here = os.path.dirname(os.path.abspath(__file__))
    out = []
    talks = json.load(open(os.path.join(here, "talks.json")))
    for path in sorted(glob.glob(os.path.join(here, "styles", "*.jinja"))):
        source = open(path).read()
        for talk in talks:
            c = {"style": os.path.basename(path), "talk": talk["name"]}
            c.update(run(source, talk["vars"]))
            out.append(c)
    return out


if __name__ == "__main__":
    main()
