"""Homework that grades itself. Read the files in this order:

masters     an assignment with its solutions; the student's notebook made from it; the answers taken out of a submission
checks      the check cells: for students they compare, for the grader they only emit numbers
runner      a notebook run by nbval, cell by cell
confine     what Linux offers to shut a process in
warm        a process that has imported everything, and forks a confined copy of itself for each submission
grade       a folder of submissions -> gradebook.csv, grades.json, feedback and summary
feedback    the HTML pages

What the lecturer and the students see of it is in assignments/README.md.
"""
