"""Pages and figures of the workstation: one self-contained HTML file each, figures as SVG."""
