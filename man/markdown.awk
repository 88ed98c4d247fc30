# markdown.awk - a plugin's README.md as sections of its manual page: the part of Markdown that they use.
#
# Its first heading is left out (the page has a name), and so are tables of options, which the page has from the plugin itself.
# Paragraphs, headings, lists, indented code, tables (a row becomes a tagged paragraph), **bold**, `code` and [links](to).

function escape(text)
{
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/'/, "\\(aq", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    return text
}
# The marks of one kind come in pairs: what is between them gets a font.
function pairs(text, mark, font,    parts, count, i, out)
{
    count = split(text, parts, mark)
    for (i = 1; i <= count; i++)
        out = out (i == 1 ? "" : i % 2 == 0 ? font : "\\fR") parts[i]
    return out (count % 2 == 0 ? "\\fR" : "")
}
function inline(text)
{
    while (match(text, /\[[^]]*\]\([^)]*\)/)) {
        link = substr(text, RSTART + 1, RLENGTH - 1)
        sub(/\].*/, "", link)
        text = substr(text, 1, RSTART - 1) link substr(text, RSTART + RLENGTH)
    }
    return pairs(pairs(escape(text), "\\*\\*", "\\fB"), "`", "\\fB")
}
# In lines that are not long; none may begin as a request does.
function fill(text,    words, count, i, line)
{
    count = split(text, words, / +/)
    line = ""
    for (i = 1; i <= count; i++) {
        if (words[i] == "")
            continue
        if (line != "" && length(line) + 1 + length(words[i]) > 76) {
            print line
            line = ""
        }
        if (line == "" && words[i] ~ /^\./)
            words[i] = "\\&" words[i]
        line = line (line == "" ? "" : " ") words[i]
    }
    if (line != "")
        print line
}
# What is printed first stands under a heading.
function paragraph()
{
    if (!headed)
        print ".SH DESCRIPTION"
    else if (!fresh)
        print ".PP"
    headed = 1
    fresh = 0
}
function flush_text()
{
    if (text != "") {
        paragraph()
        fill(inline(text))
    }
    text = ""
}
function flush_code()
{
    if (code != "") {
        paragraph()
        printf ".RS 4\n.EX\n%s.EE\n.RE\n", code
    }
    code = ""
}
function flush()
{
    flush_text()
    flush_code()
}
function cells(line, into,    count)
{
    sub(/^ *\| */, "", line)
    sub(/ *\| *$/, "", line)
    gsub(/\\\|/, "\001", line)
    count = split(line, into, / *\| */)
    for (i = 1; i <= count; i++)
        gsub(/\001/, "|", into[i])
    return count
}

NR == 1 && /^# / { next }
/^ *$/ { if (code != "") blank = 1; else flush(); table = 0; next }
/^##* / {
    flush()
    sub(/^##* */, "")
    print ".SH " (tolower($0) == "options" ? "NOTES ON OPTIONS" : toupper(escape($0)))
    headed = fresh = 1
    next
}
/^    / && text == "" {
    if (code != "" && blank)
        code = code "\n"
    blank = 0
    line = escape(substr($0, 5))
    if (line ~ /^\./)
        line = "\\&" line
    code = code line "\n"
    next
}
code != "" { flush(); blank = 0 }
/^\|/ {
    flush()
    if (!table) {
        heads = cells($0, head)
        table = head[1] ~ /^option/ ? 2 : 1
        next
    }
    if (table == 2 || /^\|[-:| ]*\|$/)
        next
    count = cells($0, cell)
    fresh = 1
    paragraph()
    if (cell[1] == "") # more of what the row above is about
        print ".IP"
    else
        print ".TP\n" inline(cell[1])
    fill(inline(cell[2]))
    for (i = 3; i <= count && i <= heads; i++)
        if (cell[i] != "") {
            print ".br"
            fill(inline(head[i] ": " cell[i]))
        }
    next
}
/^\*\*/ { flush() }
/^ *[-*] / { flush(); fresh = 1; paragraph(); print ".IP \\(bu 2"; fresh = 1; sub(/^ *[-*] /, "") }
{ text = text (text == "" ? "" : " ") $0 }
END { flush() }
