# header.awk - a C header as a manual page: comments that stand for themselves become prose, all else stays code.
#
# Given: date, version.  The first comment is the description; /* ---- Title ---- */ opens a section.

function escape(text)
{
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/'/, "\\(aq", text)
    gsub(/`/, "\\(ga", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    return text
}
# In lines of at most `columns`, each with the indent before it; broken behind `separator`, a comma or nothing, and a blank.
function fill(text, columns, indent, continued, separator,    words, count, i, line, before)
{
    count = separator == "" ? split(text, words, / +/) : split(text, words, separator " ")
    line = ""
    before = indent
    for (i = 1; i <= count; i++) {
        if (words[i] == "")
            continue
        if (i < count)
            words[i] = words[i] separator
        if (line != "" && length(before line) + 1 + length(words[i]) > columns) {
            put(before line)
            before = indent continued
            line = ""
        }
        line = line (line == "" ? "" : " ") words[i]
    }
    if (line != "")
        put(before line)
}
function put(line)
{
    line = escape(line)
    print (line ~ /^\./ ? "\\&" : "") line
}
function code(line,    at, indent, comment)
{
    if (!in_code && line ~ /^ *$/)
        return
    if (!in_code)
        print (fresh ? "" : ".PP\n") ".EX"
    in_code = 1
    fresh = 0
    if (length(line) <= COLUMNS) {
        put(line)
        return
    }
    match(line, /^ */)
    indent = substr(line, 1, RLENGTH)
    at = match(line, / *\/\*.*\*\/$/)
    if (at > 1) {
        comment = substr(line, at)
        sub(/^ */, "", comment)
        statement(substr(line, 1, at - 1), indent)
        fill(comment, COLUMNS, indent "    ", "   ")
    } else
        statement(line, indent)
}
function statement(line, indent)
{
    sub(/^ */, "", line)
    if (length(indent line) <= COLUMNS)
        put(indent line)
    else
        fill(line, COLUMNS, indent, "    ", line ~ /;$/ ? "," : "")
}
function end_code()
{
    if (in_code)
        print ".EE"
    in_code = 0
}
# One comment: paragraphs, each in lines.
function prose(    parts, count, i)
{
    end_code()
    count = split(text, parts, "\001")
    for (i = 1; i <= count; i++) {
        sub(/^ */, "", parts[i])
        if (parts[i] == "")
            continue
        if (!fresh)
            print ".PP"
        fresh = 0
        fill(parts[i], COLUMNS, "", "")
    }
    text = ""
}
function comment_line(line)
{
    sub(/ *\*\/ *$/, "", line)
    sub(/^ *\/\* ?/, "", line)
    sub(/^ *\* ?/, "", line)
    if (line ~ /^ *$/ || line ~ /^[A-Z][a-z]*: / || line ~ /^A plugin is /)
        text = text "\001"
    text = text " " line
}

BEGIN { COLUMNS = 72 }
NR == 1 {
    name = $2
    line = $0
    sub(/^\/\* [^ ]* - /, "", line)
    sub(/\.$/, "", line)
    printf ".TH %s 3 %s \"weir %s\" weir\n.SH NAME\n", toupper(name), date, version
    print escape(name " - " line)
    print ".SH SYNOPSIS\n.B #include <" name ">\n.SH DESCRIPTION"
    fresh = 1
    in_comment = 1
    next
}
in_comment {
    comment_line($0)
    if (/\*\//) {
        in_comment = 0
        prose()
    }
    next
}
/^\/\* ---- .* -*-- *\*\/$/ {
    end_code()
    sub(/^\/\* -* */, "")
    sub(/ *-* *\*\/$/, "")
    print ".SH " toupper(escape($0))
    fresh = 1
    next
}
# What is there for the compiler alone.
/^#ifndef WEIR_[A-Z]*_H$/ || /^#define WEIR_[A-Z]*_H$/ || /^#include </ || /^#ifdef __cplusplus$/ { next }
/^extern "C" \{$/ { next }
/^#endif$/ { if (open_ifs > 0) { open_ifs--; code($0) } ; next }
/^#if / { open_ifs++ }
/^}$/ && !depth { next }
# A statement, or the comment behind it, that goes on in the next line.
rest != "" {
    line = $0
    sub(/^ */, "", line)
    $0 = rest " " line
    rest = ""
}
/^ *\/\*/ {
    comment_line($0)
    if (/\*\//)
        prose()
    else
        in_comment = 1
    next
}
/^ *$/ { if (in_code && depth) code(""); else end_code(); next }
{
    line = $0
    if (line ~ /\/\*/ && line !~ /\*\//) {
        rest = $0
        next
    }
    sub(/\/\*.*/, "", line)
    bare = line
    if (gsub(/\(/, "", bare) > gsub(/\)/, "", bare)) {
        rest = $0
        next
    }
    code($0)
    depth += gsub(/\{/, "{", line) - gsub(/\}/, "}", line)
}
END { end_code(); print ".SH SEE ALSO\n.BR weir (1)" }
