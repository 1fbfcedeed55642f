"""A statement as a file for people: PDF, XLSX and CSV, in the reader's language. It is the same whether a page or the
API is asked for it, and so both call this.

files.py answers with each format, words.py has what stands in them, printing.py starts the program (pdf.py) that writes
a PDF. The font is Vazirmatn by Saber Rastikerdar, under the SIL Open Font License (fonts/OFL.txt); in these two files
its Persian digits are those of its feature `tnum`, which are of one width: what writes a PDF knows no features. (Its
Latin ones are of one width without it, and with it old-style ones.)
"""
